//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// The size of a history.
const (
	linearClients = 8
	linearRecords = 40
	linearCalls   = 10_000 // in a full run
)

// action is one call on a record: "insert", "update", "delete", "read" by its key, or
// "list", a read with a filter.
type action struct {
	do     string
	record int
	value  string
}

// outcome is the result of a call. If it is unknown, the call may have taken effect or
// not.
type outcome struct {
	unknown bool
	found   bool   // the record existed
	value   string // the value read
}

// recordModel defines the behavior of one record: its state is "" while it does not
// exist, otherwise its value.
var recordModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, linearRecords)
		for _, o := range history {
			r := o.Input.(action).record
			parts[r] = append(parts[r], o)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in, out, now := input.(action), output.(outcome), state.(string)
		there := now != ""
		if !out.unknown && in.do != "insert" && out.found != there {
			return false, now
		}
		switch in.do {
		case "insert":
			if !out.unknown && out.found != there { // found: refused because the record exists
				return false, now
			}
			if there {
				return true, now
			}
			return true, in.value
		case "update":
			if there {
				return true, in.value
			}
			return true, now
		case "delete":
			return true, ""
		default:
			return out.unknown || !there || out.value == now, now
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// runLinear records the answers to clients that work on the same records, across
// kills, and looks for an order of the calls that explains all of them.
func runLinear(t *trial) {
	if err := checkTheChecker(); err != nil {
		t.stop("%v", err)
	}
	calls := linearCalls
	if t.short {
		calls = 1500
	}
	data := t.path("data")
	token := t.project(data, "p")
	s := t.start(data)
	c := s.open("p", token)
	total, unknown := 0, 0
	for n := range t.histories {
		table := fmt.Sprintf("h%d", n)
		t.table(c.at(s), table, "v")
		h := &history{t: t, table: table, token: token, data: data, s: s}
		s = h.record(calls)
		total += len(h.operations)
		for _, o := range h.operations {
			if o.Output.(outcome).unknown {
				unknown++
			}
		}
		if result := porcupine.CheckOperationsTimeout(recordModel, h.operations, time.Minute); result != porcupine.Ok {
			t.fault("history %d of %d calls is not linearizable: %s", n, len(h.operations), result)
		}
		t.expect(c.at(s), "DELETE", c.path("/table/"+table), nil, nil)
	}
	s.end()
	t.figure("histories, calls, of which cut off by a kill", "%d, %d, %d", t.histories, total, unknown)
}

// checkTheChecker checks that a lost update is detected.
func checkTheChecker() error {
	lost := []porcupine.Operation{
		{ClientId: 0, Input: action{"insert", 0, "a"}, Call: 0, Output: outcome{}, Return: 1},
		{ClientId: 0, Input: action{"update", 0, "b"}, Call: 2, Output: outcome{found: true}, Return: 3},
		{ClientId: 1, Input: action{"read", 0, ""}, Call: 4, Output: outcome{found: true, value: "a"}, Return: 5},
	}
	if porcupine.CheckOperations(recordModel, lost) {
		return fmt.Errorf("the checker does not find a lost update")
	}
	return nil
}

// history records calls on one table.
type history struct {
	t     *trial
	table string
	token string
	data  string
	s     *server

	mu         sync.Mutex
	begin      time.Time
	operations []porcupine.Operation
}

// record lets clients make calls, kills the server twice meanwhile, and returns the
// server that runs at the end.
func (h *history) record(calls int) *server {
	h.begin = time.Now()
	seed := h.t.random.Uint64()
	for round := range 3 {
		share := calls / 3
		if round == 2 { // includes the calls that the kills have cut off
			share = calls - len(h.operations)
		}
		var crew sync.WaitGroup
		for client := range linearClients {
			crew.Go(func() {
				h.work(client, rand.New(rand.NewPCG(seed, uint64(round*100+client))), share/linearClients)
			})
		}
		if round < 2 {
			h.t.pause(time.Duration(h.t.pick(50, 400)) * time.Millisecond)
			h.s.kill()
		}
		crew.Wait()
		if round < 2 {
			h.s = h.t.start(h.data)
		}
	}
	return h.s
}

// work makes calls until there are enough, or the server is gone.
func (h *history) work(client int, random *rand.Rand, calls int) {
	c := h.s.open("p", h.token)
	for range calls {
		a := action{record: random.IntN(linearRecords)}
		a.do = []string{"insert", "update", "update", "delete", "read", "read", "list"}[random.IntN(7)]
		a.value = fmt.Sprintf("%d-%d", client, random.Uint64())
		began := time.Since(h.begin).Nanoseconds()
		out, again := h.call(c, a)
		ended := time.Since(h.begin).Nanoseconds()
		if out.unknown {
			ended = math.MaxInt64
		}
		h.mu.Lock()
		if !out.unknown || a.do != "read" && a.do != "list" {
			h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: a, Call: began, Output: out, Return: ended})
		}
		h.mu.Unlock()
		if !again {
			return
		}
	}
}

// call makes one call and reports whether the server is still there.
func (h *history) call(c *client, a action) (out outcome, again bool) {
	key := fmt.Sprintf("/records/%s/%d", h.table, a.record+1)
	var r reply
	var err error
	switch a.do {
	case "insert":
		r, err = c.post("/records/"+h.table, map[string]any{"id": a.record + 1, "v": a.value})
		out.found = r.status == 409
	case "update":
		r, err = c.call("PATCH", c.path(key), map[string]any{"v": a.value})
	case "delete":
		r, err = c.call("DELETE", c.path(key), nil)
	case "read":
		r, err = c.get(c.path(key))
	default:
		r, err = c.get(c.path(fmt.Sprintf(`/records/%s?filters={"id":%d}`, h.table, a.record+1)))
	}
	if err != nil {
		return outcome{unknown: true}, false
	}
	switch {
	case r.status == 503 || r.status == 429: // the call had no effect
		return outcome{unknown: true}, true
	case r.status >= 500:
		h.t.fault("%s: %s", a.do, r)
		return outcome{unknown: true}, true
	}
	if a.do == "insert" {
		return out, true
	}
	var answer struct {
		Row  struct{ V string }
		Rows []struct{ V string }
	}
	var envelope struct{ Data json.RawMessage }
	if json.Unmarshal(r.body, &envelope) == nil {
		_ = json.Unmarshal(envelope.Data, &answer)
	}
	out.found, out.value = r.status == 200, answer.Row.V
	if a.do == "list" {
		out.found = len(answer.Rows) == 1
		if out.found {
			out.value = answer.Rows[0].V
		}
	}
	return out, true
}
