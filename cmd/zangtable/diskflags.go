package main

import "errors"

// diskFlags limit how much of the disk is used.
type diskFlags struct {
	ReserveBytes    int64 `default:"67108864" env:"ZANGTABLE_RESERVE_BYTES" placeholder:"BYTES" help:"Size of the reserve on the disk that is given up when the disk is full, so that things can still be deleted; a quarter of the disk at most, 0 for none (${default}; $$ZANGTABLE_RESERVE_BYTES)."`
	ProjectMaxBytes int64 `default:"0" env:"ZANGTABLE_PROJECT_MAX_BYTES" placeholder:"BYTES" help:"How many bytes a project without a quota of its own may take up; 0 for no limit (${default}; $$ZANGTABLE_PROJECT_MAX_BYTES)."`
}

func (f *diskFlags) check() error {
	if f.ReserveBytes < 0 || f.ProjectMaxBytes < 0 {
		return errors.New("neither --reserve-bytes nor --project-max-bytes may be below 0")
	}
	return nil
}
