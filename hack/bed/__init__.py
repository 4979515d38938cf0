"""The development bed: a control plane, a Docker engine and the controller, on one machine.

`hack/dev`, `hack/demo`, the integration tests and the benches stand on these modules. They may
start programs and change links of their own; they must not change anything of the machine that
`Bed.down` does not put back.
"""
