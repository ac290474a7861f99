package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/zangtable/zangtable/internal/server"
)

// check is the command that checks a data folder.
type check struct {
	dataFlag
	jsonFlag
	Repair bool `help:"Repair what can be repaired first: a lost or damaged server.db is rebuilt from the projects that are there. The server must be stopped."`
}

// Run prints the findings. It fails if there are faults.
func (cmd *check) Run(p *program) error {
	if cmd.Repair {
		done, err := server.Repair(p.ctx, cmd.Data, p.logger(slog.LevelWarn))
		for _, line := range done {
			fmt.Fprintln(p.stderr, line)
		}
		if err != nil {
			return err
		}
	}
	report, err := server.Check(p.ctx, cmd.Data)
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = printJSON(p.stdout, report)
	} else {
		for _, line := range report.Lines {
			fmt.Fprintf(p.stdout, "%-5s %s: %s\n", line.Verdict, line.Subject, line.Message)
		}
	}
	switch faults := report.Faults(); {
	case faults == 1:
		err = errors.Join(err, errors.New("1 fault was found"))
	case faults > 1:
		err = errors.Join(err, fmt.Errorf("%d faults were found", faults))
	}
	return err
}
