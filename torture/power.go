//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zangtable/zangtable/torture/faultfs"
)

// mount mounts a file system for a data folder that can lose data and fail.
func (t *trial) mount(folder, at string) *faultfs.FS {
	if os.Getuid() != 0 {
		t.skip("mounting a file system takes root")
	}
	f, err := faultfs.Mount(folder, at, t.seed)
	if err != nil {
		t.skip("%v", err)
	}
	return f
}

// runPower cuts the power under a mixed load: unsynced data is lost, completely or at
// random. Everything acknowledged must still be there, and no artifact may get its
// name before its content is on disk.
func runPower(t *trial) {
	folder, at := t.path("disk"), t.path("at")
	data := filepath.Join(at, "data")
	disk := t.mount(folder, at)
	defer func() { _ = disk.Unmount() }()
	token := t.project(data, "p")
	book := newLedger()
	s := t.start(data, logBeside(t))
	c := s.open("p", token)
	t.tablesOfLoad(c)
	for n := range t.cuts {
		before := t.failed()
		// The slower the disk, the more is in flight when the power fails.
		disk.Slow(time.Duration(t.pick(0, 15)) * time.Millisecond)
		l := t.startLoad(s, c, book)
		t.pause(time.Duration(t.pick(20, 600)) * time.Millisecond)
		disk.Freeze()
		s.kill()
		l.wait()
		t.waitForChildren(data)
		for _, rename := range disk.Unsynced(".part") {
			t.fault("an artifact got its name before it was synced: %s", rename)
		}
		all := n%2 == 0
		t.must(disk.Cut(all), "cut the power")
		t.compareCopy(filepath.Join(folder, "data"), book)
		disk = t.mount(folder, at)
		s = t.start(data, logBeside(t))
		t.settle(s, c, book)
		t.checkLeftovers(filepath.Join(folder, "data"))
		s.checkLog()
		if t.failed() > before {
			t.fault("the faults above follow power cut %d; everything unsynced lost: %t", n+1, all)
		}
		if t.failed() >= maxFaults {
			break
		}
	}
	s.end()
	t.waitForChildren(data)
	t.compareDatabase(filepath.Join(folder, "data", "projects", "1.db"), book)
	t.figure("power cuts, half of them losing all that was not synced", "%d", t.cuts)
	book.figures(t)
}

// logBeside keeps the log of a server off the disk whose power is cut.
func logBeside(t *trial) func(*startOptions) {
	return func(o *startOptions) { o.log = t.path("server.log") }
}

// waitForChildren waits until no process has open files in a folder.
func (t *trial) waitForChildren(folder string) {
	t.until(10*time.Second, func() bool { return len(usersOf(folder)) == 0 })
}

// usersOf returns the processes, except for this one, that have open files in a
// folder.
func usersOf(folder string) (users []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	own := fmt.Sprintf("/proc/%d/", os.Getpid())
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || len(link) > len(own) && link[:len(own)] == own {
			continue
		}
		if inside, err := filepath.Rel(folder, target); err == nil && filepath.IsLocal(inside) {
			users = append(users, link)
		}
	}
	return users
}

// runErrors makes some writes and fsyncs of the disk fail: calls may fail, but
// whatever is acknowledged is there, even after a power failure. Once the disk works
// again, so does the server, without a restart.
func runErrors(t *trial) {
	for _, kind := range []struct {
		name          string
		writes, syncs int
	}{{"1 in 37 writes", 37, 0}, {"1 in 11 fsyncs", 0, 11}, {"both", 37, 11}} {
		t.errorsOf(kind.name, kind.writes, kind.syncs)
	}
}

func (t *trial) errorsOf(name string, writes, syncs int) {
	folder, at := t.path(fmt.Sprintf("disk-%d-%d", writes, syncs)), t.path(fmt.Sprintf("at-%d-%d", writes, syncs))
	data := filepath.Join(at, "data")
	disk := t.mount(folder, at)
	defer func() { _ = disk.Unmount() }()
	token := t.project(data, "p")
	book := newLedger()
	book.lenient = true
	s := t.start(data, logBeside(t))
	c := s.open("p", token)
	t.tablesOfLoad(c)
	seconds := 20
	if t.short {
		seconds = 3
	}
	disk.Fail(writes, syncs)
	l := t.startLoad(s, c, book)
	t.pause(time.Duration(seconds) * time.Second)
	l.stop()
	disk.Fail(0, 0)
	if !s.alive() {
		t.stop("%s: the server ended: %s", name, s.lastWords())
	}
	if took, ok := t.until(5*time.Second, func() bool {
		r, err := c.post("/records/singles", map[string]any{"k": "well again"})
		return err == nil && r.status == 201
	}); !ok {
		r, err := c.post("/records/singles", map[string]any{"k": "well again"})
		t.fault("%s: writes do not go on %.1f s after the disk is well: %s %v", name, took.Seconds(), r, err)
	}
	s.checkLog()
	disk.Freeze()
	s.kill()
	t.waitForChildren(data)
	t.must(disk.Cut(true), "cut the power")
	t.compareCopy(filepath.Join(folder, "data"), book)
	t.figure(name+": failed, calls refused", "%d, %d", disk.Failed(), book.refused)
	book.figures(t)
}
