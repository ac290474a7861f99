package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/zangtable/zangtable/internal/export"
)

// verifyFile is the command that proves a downloaded file. It needs no server
// and no data folder.
type verifyFile struct {
	jsonFlag
	File     string `arg:"" type:"path" help:"The file of an export, as it was downloaded."`
	Manifest string `required:"" type:"path" placeholder:"FILE" help:"The manifest of the export in JSON, as the API answers it."`
}

// Run compares the file with its manifest, tells what differs, and fails when
// anything does.
func (cmd *verifyFile) Run(p *program) error {
	manifest, err := os.ReadFile(cmd.Manifest)
	if err != nil {
		return err
	}
	v, err := export.VerifyFile(p.ctx, cmd.File, manifest)
	switch {
	case err != nil:
		return err
	case cmd.JSON:
		err = printJSON(p.stdout, v)
	default:
		p.printVerification(v)
	}
	if err == nil && !v.OK {
		err = errors.New("the file is not what the manifest describes")
	}
	return err
}

func (p *program) printVerification(v export.Verification) {
	for _, fault := range v.Faults {
		fmt.Fprintln(p.stdout, fault)
	}
	if !v.OK {
		return
	}
	fmt.Fprintf(p.stdout, "Verified: %s with the SHA-256 %s, as the manifest says.\n", plural(v.SizeBytes, "byte"), v.SHA256)
	if v.Members > 0 {
		fmt.Fprintf(p.stdout, "So are the bytes of %s in it.\n", plural(int64(v.Members), "file"))
	}
}
