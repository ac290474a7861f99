// Command zangtable serves SQLite databases as projects with a REST API and verifiable
// exports. See the README for a first run.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/worker"
)

// Exit codes of every command.
const (
	exitOK    = 0
	exitError = 1 // the command failed; the reason is on standard error
	exitUsage = 2 // the command line is wrong
	exitStuck = 3 // the server was told to stop, and something did not end in time
)

// commands describes the command line: commands, flags, environment and help.
type commands struct {
	Quickstart quickstart `cmd:"" help:"Run the main job on an example or on your own file, show the result and keep serving."`
	Serve      serve      `cmd:"" help:"Serve the projects of a data folder over HTTP."`
	Import     importFile `cmd:"" help:"Create a project, or create or fill tables in one, from a file."`
	Verify     verifyFile `cmd:"" help:"Compare a downloaded export with its manifest; no server is needed."`
	Bootstrap  bootstrap  `cmd:"" help:"Create a project from a blueprint."`
	Project    projects   `cmd:"" help:"Work with projects."`
	Token      tokens     `cmd:"" help:"Work with the API tokens of a project."`
	User       users      `cmd:"" help:"Work with the users of a project, or create an owner of the server."`
	Requests   requests   `cmd:"" help:"Print the recorded calls of a project, or follow them."`
	Runs       runs       `cmd:"" help:"Print the runs of operations of a project, or one with its calls."`
	Audit      audit      `cmd:"" help:"Print the audit log, or verify it."`
	Check      check      `cmd:"" help:"Check a data folder for faults, with or without a running server."`
	Version    version    `cmd:"" help:"Print the version."`
}

// program is what every command works with.
type program struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
}

// logger returns the log of a command, on standard error.
func (p *program) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
}

func main() {
	worker.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// flagVariables returns the values that the tags of flags take from the code.
func flagVariables() kong.Vars {
	return kong.Vars{
		"import_formats": strings.Join(format.All().Importing(), ","),
		"import_titles":  format.All().ImportTitles(),
	}
}

// run parses the command line and runs one command.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	var cli commands
	exited := -1
	parser, err := kong.New(&cli,
		kong.Name("zangtable"),
		kong.Description("A self-hosted server where a project is a SQLite database with a REST API and exports that can be proven."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.UsageOnError(),
		flagVariables(),
	)
	if err != nil {
		fmt.Fprintln(stderr, "zangtable:", err)
		return exitError
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	switch {
	case exited >= 0: // help was requested and printed
		return exited
	case err != nil:
		fmt.Fprintf(stderr, "zangtable: %s\nSee zangtable --help.\n", err)
		return exitUsage
	}
	if err := command.Run(&program{ctx, stdout, stderr}); err != nil {
		fmt.Fprintln(stderr, "zangtable:", sentence(err))
		return exitError
	}
	return exitOK
}

// sentence formats an error for people: the message of a problem and its faulty fields,
// or the text of any other error.
func sentence(err error) string {
	var p *problem.Error
	if !errors.As(err, &p) {
		return err.Error()
	}
	// A command line has only one file: naming the field adds nothing.
	lines := []string{strings.TrimPrefix(p.Message, "file: ")}
	for _, d := range p.Told() {
		if line := d.Field + ": " + d.Message; line != p.Message {
			lines = append(lines, "  "+line)
		}
	}
	return strings.Join(lines, "\n")
}

type version struct{}

// Run prints the version of the program.
func (version) Run(p *program) error {
	fmt.Fprintln(p.stdout, "zangtable", buildVersion())
	return nil
}

// buildVersion returns the version of the module as it was built, "dev" from a
// checkout.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
