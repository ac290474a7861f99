package limits

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

func TestGateLetsOneInForEachThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate[string](2)
		var in, most atomic.Int64
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if !g.Enter(t.Context(), "a") {
					t.Error("not let in")
					return
				}
				most.Store(max(most.Load(), in.Add(1)))
				time.Sleep(time.Second)
				in.Add(-1)
				g.Leave("a")
			})
		}
		began := time.Now()
		all.Wait()
		if took := time.Since(began); took != 10*time.Second || most.Load() != 2 {
			t.Errorf("20 calls of a second, two at once, took %v with %d at once", took, most.Load())
		}
		if len(g.running)+len(g.waiting)+g.Running() != 0 {
			t.Errorf("the gate remembers %v, %v", g.running, g.waiting)
		}
	})
}

// TestGateForgetsWhoGivesUp lets a call's turn come at the very moment when it gives
// up: no place may be lost.
func TestGateForgetsWhoGivesUp(t *testing.T) {
	g := NewGate[int](1)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*10*time.Microsecond)
				if g.Enter(ctx, 1) {
					runtime.Gosched()
					g.Leave(1)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if g.Running() != 0 || !g.TryEnter(1) || g.TryEnter(1) {
		t.Errorf("%d are in after everybody has left", g.Running())
	}
}

func TestCallsOfATokenAndOfAProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCalls(2, 3)
		enter := func(project ids.Project, token ids.Token) error { return c.Enter(t.Context(), project, token) }
		for _, token := range []ids.Token{1, 1, 2} {
			if err := enter(7, token); err != nil {
				t.Fatal(err)
			}
		}
		for _, token := range []ids.Token{1, 2} { // one reaches its own limit, the other that of the project
			began := time.Now()
			err := enter(7, token)
			if !problem.Is(err, problem.CodeRateLimited) || problem.From(err).RetryAfter != time.Second || time.Since(began) != time.Second {
				t.Errorf("token %d: %v after %v", token, err, time.Since(began))
			}
		}
		if err := enter(8, 3); err != nil {
			t.Errorf("another project: %v", err)
		}
		if c.Running() != 4 {
			t.Errorf("%d calls run, want 4", c.Running())
		}
		time.AfterFunc(time.Second/2, func() { c.Leave(7, 1) })
		if err := enter(7, 2); err != nil {
			t.Errorf("a call whose turn comes: %v", err)
		}
	})
}

func TestNoLimits(t *testing.T) {
	c := NewCalls(0, 0)
	for range 1000 {
		if err := c.Enter(t.Context(), 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	r := NewRatePerSecond[int](0, nil)
	if !r.Use(1).Allowed {
		t.Error("a rate of 0 is a limit")
	}
	p := NewBudget(0).Part(1)
	if err := p.Take(1 << 40); err != nil {
		t.Error(err)
	}
}

// TestRateIsExact requests twice the rate for a minute.
func TestRateIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRatePerSecond[int](50, nil)
		allowed := 0
		for range 60 * 100 {
			if s := r.Use(1); s.Allowed {
				allowed++
			} else if s.Retry <= 0 || s.Retry > 20*time.Millisecond || s.Remaining != 0 {
				t.Fatalf("%+v", s)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if allowed < 2850 || allowed > 3150 {
			t.Errorf("%d uses in a minute at 50 a second", allowed)
		}
		if !r.Use(2).Allowed {
			t.Error("one key is refused for another")
		}
		time.Sleep(time.Second)
		if s := r.Use(1); !s.Allowed || s.Remaining != 49 || s.Reset != 20*time.Millisecond {
			t.Errorf("after a rest: %+v", s)
		}
	})
}

// TestRateOfAMillionAddresses checks how much memory strangers can use, and that they
// cannot clear the record of an address.
func TestRateOfAMillionAddresses(t *testing.T) {
	r := NewRate[netip.Addr](time.Hour, 1, nil)
	villain := netip.MustParseAddr("192.0.2.1")
	r.Use(villain)
	before := heap()
	for i := range 1_000_000 {
		var a [16]byte
		binary.BigEndian.PutUint32(a[:], 0x20010db8)
		binary.BigEndian.PutUint32(a[4:], uint32(i))
		r.Use(AddressKey(netip.AddrFrom16(a)))
		if i%1000 == 0 && r.Use(villain).Allowed {
			t.Fatalf("allowed again after %d others", i)
		}
	}
	if grown := heap() - before; grown > 24<<20 {
		t.Errorf("a million addresses take %d MB", grown>>20)
	}
	runtime.KeepAlive(r)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestAddressKey(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := AddressKey(netip.MustParseAddr(address)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

func TestBudgetIsShared(t *testing.T) {
	b := NewBudget(1 << 30)
	a := b.Part(1)
	if err := a.Take(200 << 20); err != nil {
		t.Fatal(err)
	}
	more := b.Part(1)
	if err := more.Take(100 << 20); !problem.Is(err, problem.CodeBusy) || problem.From(err).RetryAfter == 0 {
		t.Errorf("a project gets more than a quarter: %v", err)
	}
	others := make([]Part, 4)
	for i := range others {
		others[i] = b.Part(ids.Project(2 + i))
		if err := others[i].Take(200 << 20); err != nil {
			t.Fatal(err)
		}
	}
	last := b.Part(9)
	if err := last.Take(100 << 20); !problem.Is(err, problem.CodeBusy) {
		t.Errorf("more than the whole: %v", err)
	}
	a.Shrink(50 << 20)
	if err := last.Take(100 << 20); err != nil || b.Used() != 950<<20 {
		t.Errorf("%v with %d MB used", err, b.Used()>>20)
	}
	for _, p := range append(others, a, last, more) {
		p.Release()
	}
	if b.Used() != 0 || len(b.shares) != 0 {
		t.Errorf("%d bytes are used, by %v, after all were given back", b.Used(), b.shares)
	}
}

func TestBudgetIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(MinBudget)
		first := b.Part(1)
		if err := first.Take(100 << 20); err != nil {
			t.Fatal(err)
		}
		late, small, hasty := b.Part(1), b.Part(2), b.Part(1)
		time.AfterFunc(2*time.Second, first.Release)
		if err := hasty.Await(t.Context(), 100<<20, time.Second); !problem.Is(err, problem.CodeBusy) {
			t.Errorf("who waits a second got %v", err)
		}
		if err := small.Await(t.Context(), 1<<20, time.Second); err != nil {
			t.Errorf("a small one waits for a large one: %v", err)
		}
		if err := late.Await(t.Context(), 100<<20, 5*time.Second); err != nil || late.Held() != 100<<20 {
			t.Errorf("who waits five seconds got %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := hasty.Await(gone, 100<<20, time.Second); err != context.Canceled {
			t.Errorf("who has gone got %v", err)
		}
		late.Release()
		small.Release()
		if b.Used() != 0 || len(b.waiting) != 0 {
			t.Errorf("%d bytes and %d waiting are left", b.Used(), len(b.waiting))
		}
	})
}

// TestMemoryGoesBackToTheSystem runs large calls one after another, and then none.
func TestMemoryGoesBackToTheSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1 << 30)
		var tidied atomic.Int64
		b.tidy = func() { tidied.Add(1) }
		use := func(bytes int64) {
			p := b.Part(1)
			if err := p.Take(bytes); err != nil {
				t.Fatal(err)
			}
			p.Release()
		}
		for range 10 {
			use(100 << 20)
			time.Sleep(restTime / 2)
			use(100 << 20)
			time.Sleep(restTime / 2)
		}
		if tidied.Load() != 0 {
			t.Error("memory is given back between large calls that follow one another")
		}
		time.Sleep(2 * restTime)
		if tidied.Load() != 1 {
			t.Error("memory is not given back when nothing large runs any more")
		}
		use(1 << 20)
		time.Sleep(2 * restTime)
		if tidied.Load() != 1 {
			t.Error("memory is given back after a small call")
		}
	})
}

// BenchmarkLimits measures what the limits add to a call: entering, leaving, the rate
// of its token and part of the budget.
func BenchmarkLimits(b *testing.B) {
	calls, perToken, budget := NewCalls(64, 256), NewRatePerSecond[ids.Token](1_000_000_000, nil), NewBudget(1<<29)
	b.ReportAllocs()
	for b.Loop() {
		if err := calls.Enter(b.Context(), 1, 1); err != nil {
			b.Fatal(err)
		}
		perToken.Use(1)
		part := budget.Part(1)
		if err := part.Take(100 << 10); err != nil {
			b.Fatal(err)
		}
		part.Release()
		calls.Leave(1, 1)
	}
}

// BenchmarkCalls measures what the limits that are on by default add to a small call.
func BenchmarkCalls(b *testing.B) {
	calls := NewCalls(64, 256)
	b.ReportAllocs()
	for b.Loop() {
		if err := calls.Enter(b.Context(), 1, 1); err != nil {
			b.Fatal(err)
		}
		calls.Leave(1, 1)
	}
}
