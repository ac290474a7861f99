package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/rehearsal"
)

// verifyFile is the command that verifies a downloaded file. It needs no server and no
// data folder.
type verifyFile struct {
	jsonFlag
	File     string `arg:"" type:"path" help:"The file of an export, as it was downloaded."`
	Manifest string `required:"" type:"path" placeholder:"FILE" help:"The manifest of the export in JSON, as the API returns it."`
	Restore  bool   `help:"Also restore the file into a scratch project in the temporary folder, and compare that with the snapshot."`
}

// findings is what was found out about a file.
type findings struct {
	export.Verification
	Rehearsal *rehearsal.Rehearsal `json:"rehearsal,omitzero"`
}

// Run compares the file with its manifest, prints the differences, and fails if there
// are any.
func (cmd *verifyFile) Run(p *program) error {
	text, err := os.ReadFile(cmd.Manifest)
	if err != nil {
		return err
	}
	m, err := export.ReadManifest(text)
	if err != nil {
		return err
	}
	var found findings
	if found.Verification, err = export.VerifyFile(p.ctx, cmd.File, m); err != nil {
		return err
	}
	if cmd.Restore && found.OK {
		if found.Rehearsal, err = restoreFile(p.ctx, cmd.File, m); err != nil {
			return err
		}
	}
	if cmd.JSON {
		err = printJSON(p.stdout, found)
	} else {
		p.printFindings(&found)
	}
	switch {
	case err != nil:
		return err
	case !found.OK:
		return errors.New("the file does not match the manifest")
	case found.Rehearsal != nil && !found.Rehearsal.Restorable:
		return errors.New("the file does not restore to what the snapshot was")
	}
	return nil
}

// restoreFile rehearses restoring a file.
func restoreFile(ctx context.Context, path string, m *export.Manifest) (r *rehearsal.Rehearsal, err error) {
	folder, err := os.MkdirTemp("", "zangtable-restore-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	stage, err := rehearsal.Open(rehearsal.Config{Folder: folder})
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	done, err := stage.Rehearse(ctx, file, m)
	return &done, err
}

func (p *program) printFindings(found *findings) {
	for _, fault := range found.Faults {
		fmt.Fprintln(p.stdout, fault)
	}
	if !found.OK {
		return
	}
	fmt.Fprintf(p.stdout, "Verified: %s with the SHA-256 %s, as the manifest says.\n", plural(found.SizeBytes, "byte"), found.SHA256)
	if found.Members > 0 {
		fmt.Fprintf(p.stdout, "The bytes of %s in it match as well.\n", plural(int64(found.Members), "file"))
	}
	if found.Rehearsal == nil {
		return
	}
	for _, fault := range found.Rehearsal.Faults {
		fmt.Fprintln(p.stdout, fault)
	}
	if found.Rehearsal.Restorable {
		fmt.Fprintf(p.stdout, "Restored: %s of %s, as they were in the snapshot (%.1f s).\n",
			plural(found.Rehearsal.RowCount, "row"), plural(int64(len(found.Rehearsal.Tables)), "table"), float64(found.Rehearsal.DurationMS)/1000)
	}
}
