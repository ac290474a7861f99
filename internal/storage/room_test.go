//go:build unix

package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// pretended is a disk whose free space, apart from the reserve file, is set by the
// test.
type pretended struct {
	t      *testing.T
	folder string
	spare  int64 // free while the reserve file exists
	room   *Room
}

func pretend(t *testing.T, reserve int64) *pretended {
	t.Helper()
	p := &pretended{t: t, folder: t.TempDir(), spare: 1 << 30}
	p.open(reserve)
	return p
}

func (p *pretended) open(reserve int64) {
	p.t.Helper()
	var err error
	p.room, err = OpenRoom(p.folder, RoomOptions{Reserve: reserve, Free: func(string) (int64, int64, error) {
		free := p.spare + (1 << 20)
		if info, err := os.Stat(filepath.Join(p.folder, "reserve")); err == nil {
			free -= info.Size()
		}
		return free, 1 << 40, nil
	}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// reserve returns the size of the reserve file, or -1 if there is none.
func (p *pretended) reserve() int64 {
	info, err := os.Stat(filepath.Join(p.folder, "reserve"))
	if errors.Is(err, fs.ErrNotExist) {
		return -1
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used < info.Size() {
		p.t.Errorf("the reserve of %d bytes takes up only %d", info.Size(), used)
	}
	return info.Size()
}

func (p *pretended) low() bool {
	time.Sleep(lookEvery)
	return p.room.Low()
}

var errNoRoom = &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}

func TestRoom(t *testing.T) {
	const size = 1 << 20
	p := pretend(t, size)
	if p.reserve() != size || p.low() || p.room.MayGrow() != nil {
		t.Fatalf("at the beginning: %d bytes, %v", p.reserve(), p.room.MayGrow())
	}
	// Little space is left: nothing may grow, and the reserve is kept.
	p.spare = size/2 - 1
	if !p.low() || !problem.Is(p.room.MayGrow(), problem.CodeStorageFull) || p.reserve() != size {
		t.Errorf("with little room: %d bytes, %v", p.reserve(), p.room.MayGrow())
	}
	// Operations that free space do without the reserve as long as they can.
	if err := p.room.Free(func() error { return nil }); err != nil || p.reserve() != size {
		t.Errorf("a deletion: %v, reserve %d", err, p.reserve())
	}
	// They get the reserve when they need it.
	p.spare = 0
	tries := 0
	err := p.room.Free(func() error {
		if tries++; p.reserve() >= 0 {
			return errNoRoom
		}
		p.spare -= 900 << 10 // the log
		return nil
	})
	if err != nil || tries != 2 || p.reserve() != -1 || !p.low() {
		t.Errorf("a deletion on a full disk: %v after %d tries, reserve %d", err, tries, p.reserve())
	}
	// There is nothing left to give up.
	tries = 0
	if err := p.room.Free(func() error { tries++; return errNoRoom }); !errors.Is(err, errNoRoom) || tries != 1 {
		t.Errorf("without a reserve: %v after %d tries", err, tries)
	}
	// The reserve is recreated before anything may grow.
	p.spare = size / 4
	if !p.low() || p.reserve() != size {
		t.Errorf("with some room again: reserve %d, %v", p.reserve(), p.room.MayGrow())
	}
	p.spare = size
	if p.low() || p.reserve() != size {
		t.Errorf("with room again: reserve %d, %v", p.reserve(), p.room.MayGrow())
	}
	// Other failures do not affect it.
	other := errors.New("other")
	if err := p.room.Free(func() error { return other }); err != other || p.reserve() != size {
		t.Errorf("got %v", err)
	}
}

func TestReserveFollowsTheSetting(t *testing.T) {
	p := pretend(t, 2<<20)
	for _, step := range []struct{ setting, want int64 }{
		{2 << 20, 2 << 20}, {0, 2 << 20}, {1 << 20, 1 << 20}, {-1, -1}, {0, -1}, {3 << 20, 3 << 20},
	} {
		if p.open(step.setting); p.reserve() != step.want {
			t.Errorf("with the setting %d there are %d bytes, want %d", step.setting, p.reserve(), step.want)
		}
	}
	// On a full disk it is created later.
	if err := os.Remove(filepath.Join(p.folder, "reserve")); err != nil {
		t.Fatal(err)
	}
	p.spare = 0
	if p.open(3 << 20); p.reserve() != -1 || !p.low() {
		t.Errorf("on a full disk there is a reserve of %d bytes", p.reserve())
	}
	p.spare = 8 << 20
	if p.low() || p.reserve() != 3<<20 {
		t.Errorf("later there is one of %d bytes", p.reserve())
	}
}

func TestWithoutRoom(t *testing.T) {
	var none *Room
	off := pretend(t, -1)
	off.spare = 0
	for _, r := range []*Room{none, off.room} {
		if r.Low() || r.MayGrow() != nil || !errors.Is(r.Free(func() error { return errNoRoom }), errNoRoom) {
			t.Error("a reserve that is switched off does something")
		}
	}
}

func TestQuotas(t *testing.T) {
	var none *Quotas
	if none.Set(1, nil); none.Max(1) != 0 || none.Beside(1) != 0 {
		t.Error("no quotas are some")
	}
	asked := 0
	q := &Quotas{Default: 100, Files: func(id ids.Project) int64 { asked++; return int64(id) * 10 }}
	limit, unlimited := int64(7), int64(0)
	q.Set(1, &limit)
	q.Set(2, &unlimited)
	for id, want := range map[ids.Project]int64{1: 7, 2: 0, 3: 100} {
		if got := q.Max(id); got != want {
			t.Errorf("project %d may have %d bytes, want %d", id, got, want)
		}
	}
	if q.Set(1, nil); q.Max(1) != 100 {
		t.Error("the limit is not taken back")
	}
	for range 3 {
		if q.Beside(4) != 40 || asked != 1 {
			t.Errorf("%d bytes, asked %d times", q.Beside(4), asked)
		}
	}
}
