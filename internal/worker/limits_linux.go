package worker

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// minData is the lowest RLIMIT_DATA with which the program works: below it, or below
// four times the heap limit, Go itself may be what runs out of memory. Go never unmaps
// memory that it has mapped.
const minData = 384 << 20

// limitProcess sets the limits that apply to the process from its start.
func limitProcess(config childConfig) ([]Bound, error) {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return nil, fmt.Errorf("switch core dumps off: %w", err)
	}
	data := uint64(max(minData, 4*config.Heap))
	limited := !raceDetector
	if limited {
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: data, Max: data}); err != nil {
			return nil, fmt.Errorf("limit the data segment: %w", err)
		}
	}
	version, err := landlocksys.LandlockGetABIVersion()
	if err != nil {
		version = 0
	}
	return []Bound{
		{"heap limit", true, fmt.Sprintf("SQLite may use %d bytes.", config.Heap)},
		{"temporary files", true, fmt.Sprintf("SQLite may use %d bytes.", config.TempBytes)},
		{"rlimit data", limited, fmt.Sprintf("The process may use %d bytes of private memory.", data)},
		{"resident memory", true, "The server watches it and ends a worker that uses too much."},
		{"landlock", version > 0, fmt.Sprintf("Version %d of the kernel's interface.", version)},
	}, nil
}

// restrictFiles restricts the process to the files that it is bound to and its own
// folder, without network access, where the kernel supports that.
func restrictFiles(folder string, b binding) error {
	rules := []landlock.Rule{landlock.RWDirs(folder)}
	if len(b.Read) > 0 {
		rules = append(rules, landlock.ROFiles(b.Read...).IgnoreIfMissing())
	}
	if len(b.Write) > 0 {
		rules = append(rules, landlock.RWFiles(b.Write...).IgnoreIfMissing())
	}
	if err := landlock.V11.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("restrict the files of a worker: %w", err)
	}
	return os.Chdir(folder)
}

// childAttributes puts a child into a process group of its own, and kills it when the
// thread that started it ends.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// prepareSpawner is called in the thread that starts the children, which inherit its
// settings: they cannot gain privileges by executing a program, and the server has
// priority when they compete for a CPU.
func prepareSpawner() error {
	const nice = 5
	return errors.Join(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), nice))
}

// closeOnExec keeps files that this process was started with, such as the sockets of a
// service manager, from being inherited by its children.
func closeOnExec() {
	// Older kernels have no alternative.
	_ = unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC)
}

// executable returns the program to start: the running one, even if its path now holds
// another.
func executable() (string, error) { return "/proc/self/exe", nil }

// privateBytes returns how much private memory a process uses: without file pages,
// such as those of the program, which are shared.
func privateBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, resident, shared int64 // pages
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		return 0, err
	}
	return (resident - shared) * int64(os.Getpagesize()), nil
}

// parentOf returns the parent of a process, or 0.
func parentOf(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "\nPPid:")
	line, _, _ := strings.Cut(rest, "\n")
	parent, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0
	}
	return parent
}

// killGroup kills a child and everything that it has started.
func killGroup(p *os.Process) {
	// It fails only if they are gone.
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
}

// enlargePipe lets a child keep sending while the parent works: with the usual 64 KiB
// the two would alternate too often.
func enlargePipe(f *os.File) {
	const size = 1 << 20
	// If the user has too many large pipes, the size stays unchanged.
	_, _ = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, size)
}
