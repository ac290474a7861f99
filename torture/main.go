//go:build linux

// Command torture runs real servers and treats them as bad luck and hostile users
// would: it kills them, fills their disk, damages their files, exhausts their file
// descriptors, sends them hostile SQL and hostile files, and then checks what was
// promised. Everything stays on this machine, on 127.0.0.1.
//
//	go run ./torture                          every part, in full
//	go run ./torture -short                   every part, in a few minutes
//	go run ./torture -parts kill -seed 7      one part, with the choices of an earlier run
//	go run ./torture -selftest                servers broken on purpose must be caught
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// config is the configuration from the command line.
type config struct {
	parts     string
	seed      uint64
	short     bool
	selftest  bool
	race      bool
	verbose   bool
	program   string
	folder    string
	out       string
	kills     int
	terms     int
	cuts      int
	projects  int
	histories int
}

// part is one kind of torture, with the promises that it checks.
type part struct {
	name     string
	promises string
	run      func(*trial)
}

var parts = []part{
	{"kill", "R1, R2, R3", runKill},
	{"terminate", "R7", runTerminate},
	{"power", "R1, R2, R3 after a power cut", runPower},
	{"errors", "R5", runErrors},
	{"disk", "R4", runDisk},
	{"damage", "damaged files", runDamage},
	{"descriptors", "descriptors", runDescriptors},
	{"restart", "R6", runRestart},
	{"slow", "slow clients", runSlow},
	{"sql", "R8, R10", runSQL},
	{"schemas", "R10: schema changes beside cached texts", runSchemas},
	{"requests", "cost before work, deadlines", runRequests},
	{"files", "hostile files", runFiles},
	{"linear", "R11", runLinear},
	{"secrets", "R13", runSecrets},
}

func main() {
	var c config
	flag.StringVar(&c.parts, "parts", "all", "which parts to run, separated by commas: "+partNames())
	flag.Uint64Var(&c.seed, "seed", 0, "seed of every random choice; 0 takes one from the clock and prints it")
	flag.BoolVar(&c.short, "short", false, "run the short form of each part, for CI")
	flag.BoolVar(&c.selftest, "selftest", false, "break the server on purpose, one fault after the other, and require that a part notices")
	flag.BoolVar(&c.race, "race", false, "build the server with the race detector")
	flag.BoolVar(&c.verbose, "v", false, "print what the parts of a self-test say")
	flag.StringVar(&c.program, "server", "", "the zangtable binary; built from this tree when empty")
	flag.StringVar(&c.folder, "dir", "", "folder for data; kept when given (default a temporary one)")
	flag.StringVar(&c.out, "out", "", "document whose table of figures is written anew")
	flag.IntVar(&c.kills, "kills", 0, "how often part kill kills a server (1000; short 30)")
	flag.IntVar(&c.terms, "terms", 0, "how often part terminate ends a server (50; short 3)")
	flag.IntVar(&c.cuts, "cuts", 0, "how often part power cuts the power (200; short 6)")
	flag.IntVar(&c.projects, "projects", 0, "how many projects part restart makes (1000; short 100)")
	flag.IntVar(&c.histories, "histories", 0, "how many histories part linear records (100; short 3)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := c.run(ctx)
	endServers()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func partNames() string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

// errBroken reports that a promise was broken, or that a part could not run where it
// has to.
var errBroken = errors.New("not everything held")

func (c *config) run(ctx context.Context) error {
	c.setDefaults()
	chosen, err := choose(c.parts)
	if err != nil {
		return err
	}
	remove, err := c.chooseFolder()
	if err != nil {
		return err
	}
	defer remove()
	fmt.Printf("seed %d; the same choices again: -seed %d\n", c.seed, c.seed)
	if c.selftest {
		return c.selfTest(ctx)
	}
	if c.program == "" {
		c.program = filepath.Join(c.folder, "zangtable")
		if err := build(ctx, c.program, c.buildFlags()...); err != nil {
			return err
		}
	}
	var done []*trial
	for _, p := range chosen {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		done = append(done, c.try(ctx, p))
	}
	return c.report(done)
}

func (c *config) setDefaults() {
	if c.seed == 0 {
		c.seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	for _, d := range []struct {
		count       *int
		long, short int
	}{
		{&c.kills, 1000, 30}, {&c.terms, 50, 3}, {&c.cuts, 200, 6}, {&c.projects, 1000, 100}, {&c.histories, 100, 3},
	} {
		switch {
		case *d.count > 0:
		case c.short:
			*d.count = d.short
		default:
			*d.count = d.long
		}
	}
}

func choose(names string) ([]part, error) {
	if names == "all" {
		return parts, nil
	}
	var chosen []part
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no part %q, only %s", name, partNames())
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}

// chooseFolder creates the data folder and returns a function that removes it.
func (c *config) chooseFolder() (remove func(), err error) {
	if c.folder != "" {
		if c.folder, err = filepath.Abs(c.folder); err != nil {
			return nil, err
		}
		return func() {}, os.MkdirAll(c.folder, 0o700)
	}
	c.folder, err = os.MkdirTemp("", "zangtable-torture-")
	return func() { os.RemoveAll(c.folder) }, err
}

func (c *config) buildFlags() []string {
	if c.race {
		return []string{"-race"}
	}
	return nil
}

// build compiles the server.
func build(ctx context.Context, program string, flags ...string) error {
	args := append(append([]string{"build"}, flags...), "-o", program, "./cmd/zangtable")
	cmd := exec.CommandContext(ctx, "go", args...)
	if slices.Contains(flags, "-race") {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return nil
}
