package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// systemCalls makes each system call that is named by its number and its
// arguments, such as 425:0:0, and prints the number of the error on a line of
// its own; 0 is none. So a test sees which ones a container may make.
func systemCalls(calls []string) int {
	for _, call := range calls {
		var words [7]uintptr
		parts := strings.Split(call, ":")
		if len(parts) > len(words) {
			fmt.Fprint(os.Stderr, usage)
			return 2
		}
		for i, part := range parts {
			number, err := strconv.ParseInt(part, 0, 64)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 2
			}
			words[i] = uintptr(number)
		}
		_, _, errno := syscall.RawSyscall6(
			words[0], words[1], words[2], words[3], words[4], words[5], words[6])
		fmt.Println(int(errno))
	}
	return 0
}
