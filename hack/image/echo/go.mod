// The image of the demo and of the tests: standard library only.
module challenge-controller.io/hack/image/echo

go 1.26.0
