package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zangtable/zangtable/internal/server"
	"github.com/zangtable/zangtable/internal/worker"
)

// asProgram is the environment variable that turns the test binary into the
// program.
const asProgram = "ZANGTABLE_TEST_AS_PROGRAM"

var update = flag.Bool("update", false, "write the expected output of the scripts anew")

// stuckProgram is the value of that variable that makes the program hang when it
// closes.
const stuckProgram = "stuck"

// TestMain makes the program available as a command in scripts, and makes the test
// binary behave as the program when a test starts it as a separate process.
func TestMain(m *testing.M) {
	worker.Main()
	if os.Getenv(asProgram) == stuckProgram {
		stopTime = 2 * time.Second
		closeApp = func(*server.App) error { select {} }
	}
	if os.Getenv(asProgram) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"zangtable": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
	}})
}

// TestScripts runs the command line as a user does; see testdata/*.txt. Besides the
// usual commands, scripts have get, sha256, waitfor and http.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			// Scripts that run at the same time need different ports.
			env.Setenv("ZANGTABLE_LISTEN", "127.0.0.1:0")
			env.Setenv("TEST_DATA", os.Getenv("ZANGTABLE_TEST_DATA"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "testdata" {
				return os.Getenv("ZANGTABLE_TEST_DATA") != "", nil
			}
			return false, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"get":     scriptGet,
			"sha256":  scriptSHA256,
			"waitfor": scriptWaitFor,
			"http":    scriptHTTP,
		},
	})
}

// scriptGet is `get FILE PATTERN VARIABLE`: it sets a variable to the text that follows
// the pattern on its line in a file.
func scriptGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: get FILE PATTERN VARIABLE")
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if _, after, ok := strings.Cut(line, args[1]); ok {
			ts.Setenv(args[2], strings.TrimSpace(after))
			return
		}
	}
	ts.Fatalf("%s has no line with %q", args[0], args[1])
}

// scriptSHA256 is `sha256 FILE VARIABLE`.
func scriptSHA256(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sha256 FILE VARIABLE")
	}
	sum := sha256.Sum256([]byte(ts.ReadFile(args[0])))
	ts.Setenv(args[1], hex.EncodeToString(sum[:]))
}

// scriptWaitFor is `waitfor FILE TEXT`: it waits until a file contains a text.
func scriptWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE TEXT")
	}
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		content, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(content), args[1]) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("%s did not come to hold %q", args[0], args[1])
}

// scriptHTTP is `http [-o FILE] [-H HEADER]... METHOD URL [BODY]`: it makes one
// request with the token in $TOKEN and prints status and body, or writes the
// body to a file.
func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("http cannot be negated: look at the status")
	}
	file, header := "", http.Header{}
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		if args[0] == "-o" {
			file = args[1]
		} else {
			name, value, _ := strings.Cut(args[1], ": ")
			header.Set(name, value)
		}
		args = args[2:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: http [-o FILE] [-H HEADER]... METHOD URL [BODY]")
	}
	r, err := http.NewRequest(args[0], args[1], strings.NewReader(strings.Join(args[2:], " ")))
	ts.Check(err)
	r.Header = header
	if token := ts.Getenv("TOKEN"); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), response.StatusCode)
	if file != "" {
		ts.Check(os.WriteFile(ts.MkAbs(file), body, 0o600))
		return
	}
	ts.Stdout().Write(body)
}
