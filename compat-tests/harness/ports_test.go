package harness

import (
	"os/exec"
	"testing"
)

// The look at ports leaves none of them in use, also while other processes are started.
func TestFreeIsFree(t *testing.T) {
	first := NewPorts(t).first
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				_ = exec.Command("true").Run()
			}
		}
	}()
	for range 300 {
		if !free(first) {
			t.Fatal("our own block is taken")
		}
	}
	close(stop)
	<-ended
}
