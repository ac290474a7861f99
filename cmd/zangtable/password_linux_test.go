package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a terminal: the person's and the program's.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("this machine gives no terminals:", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// shows reports whether a terminal echoes input.
func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// TestPasswordIsNotShown types a password, and in the other case cancels.
func TestPasswordIsNotShown(t *testing.T) {
	data := t.TempDir()
	command(t, "project", "create", "library", "--name", "Library", "--data", data)
	for name, answer := range map[string]func(person *os.File, cmd *exec.Cmd) error{
		"typed": func(person *os.File, _ *exec.Cmd) error {
			_, err := person.WriteString("correct horse battery\n")
			return err
		},
		"interrupted": func(_ *os.File, cmd *exec.Cmd) error { return cmd.Process.Signal(os.Interrupt) },
	} {
		t.Run(name, func(t *testing.T) {
			person, terminal := openTerminal(t)
			cmd := exec.Command(os.Args[0], "user", "create", name, "--project", "library", "--data", data)
			cmd.Env, cmd.Stdin = append(os.Environ(), asProgram+"=1"), terminal
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReader(stderr).ReadString(':'); err != nil {
				t.Fatal("no prompt:", err)
			}
			for deadline := time.Now().Add(time.Minute); shows(t, terminal); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					_ = cmd.Process.Kill()
					t.Fatal("the terminal shows what is typed")
				}
			}
			if err := answer(person, cmd); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, stderr)
			if err := cmd.Wait(); (err == nil) != (name == "typed") {
				t.Error("the program ends with", err)
			}
			if !shows(t, terminal) {
				t.Error("afterwards the terminal does not show what is typed")
			}
			users := command(t, "user", "list", "--project", "library", "--data", data)
			if made := strings.Contains(users, name); made != (name == "typed") {
				t.Errorf("the users are %s", users)
			}
		})
	}
}
