package main

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStuckServerEndsByItself stops a server that hangs while closing. The process ends
// in time and says why, and an acknowledged write is there at the next start.
func TestStuckServerEndsByItself(t *testing.T) {
	t.Parallel()
	data, token := numbers(t, 10)
	p := start(t, data, "p", token, asProgram+"="+stuckProgram)
	if status, answer := p.post(t, p.path("/records/numbers"), strings.NewReader(`{"number":1000}`), "Content-Type", "application/json"); status != 201 {
		t.Fatalf("insert: %d %s", status, answer)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitStuck {
			t.Errorf("the process ended with %v, want exit code %d", err, exitStuck)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the process is still there")
	}

	p = start(t, data, "p", token)
	if status, _, answer := p.get(t, p.path("/records/numbers?filters=%7B%22number%22:1000%7D")); status != 200 || !strings.Contains(string(answer), `"returned":1`) {
		t.Errorf("the acknowledged row: %d %s", status, answer)
	}
}
