package rest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
)

// Events is the output of a handler whose answer is a stream of server-sent events: one
// named manifest per update, until there are no more. Updates of type [Event] bring
// names of their own.
type Events[Manifest any] struct {
	Updates <-chan Manifest
	Name    string // of each event; "" is manifest
}

// Event is one event of a stream that has several kinds.
type Event interface {
	// Event returns the name of the event, the place in the stream that a client may
	// resume from, "" for none, and the data.
	Event() (name, id string, data any)
	// Kinds returns a zero value of the data of each kind of event, by name.
	Kinds() map[string]any
}

// follows is Events of any kind of manifest.
type follows interface {
	content(registry huma.Registry) map[string]*huma.MediaType
}

// send passes the updates on as they arrive. Comments in between keep the connection
// from being considered dead.
func (events *Events[Manifest]) send(c *call) {
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // asks proxies not to buffer events
	header.Set("X-Content-Type-Options", "nosniff")
	c.streaming = true
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead || http.NewResponseController(c.w).Flush() != nil {
		return
	}
	beat := time.NewTicker(c.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-c.r.Context().Done():
			return
		case <-beat.C:
			err = c.push(": still there\n\n")
		case m, more := <-events.Updates:
			if !more {
				return
			}
			name, id, data := cmp.Or(events.Name, "manifest"), "", any(m)
			if event, ok := data.(Event); ok {
				name, id, data = event.Event()
			}
			err = c.pushEvent(name, id, data)
		}
		if err != nil {
			return // the client has disconnected: there is nobody left to tell
		}
	}
}

func (c *call) pushEvent(name, id string, m any) error {
	data, err := json.Marshal(m, answerOptions)
	if err != nil {
		panic(fmt.Errorf("encode a manifest: %w", err))
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return c.push("event: " + name + "\n" + id + "data: " + string(data) + "\n\n")
}

// push writes a part of the stream and flushes it at once.
func (c *call) push(text string) error {
	if _, err := c.w.Write([]byte(text)); err != nil {
		return err
	}
	return http.NewResponseController(c.w).Flush()
}

// content describes the stream.
func (*Events[Manifest]) content(registry huma.Registry) map[string]*huma.MediaType {
	if event, ok := any(*new(Manifest)).(Event); ok {
		return describeEvents(registry, event.Kinds())
	}
	data := registry.Schema(reflect.TypeFor[Manifest](), true, "Manifest")
	return map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
		Type:        huma.TypeString,
		Description: "Events named manifest, each with the data of " + data.Ref + ", until the job has finished; comments in between keep the connection alive.",
	}}}
}

// describeEvents describes a stream that has several kinds of events.
func describeEvents(registry huma.Registry, kinds map[string]any) map[string]*huma.MediaType {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		data := registry.Schema(reflect.TypeOf(kinds[name]), true, name)
		list = append(list, name+" (its data is "+data.Ref+")")
	}
	return map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
		Type:        huma.TypeString,
		Description: "Events named " + strings.Join(list, ", ") + "; comments in between keep the connection alive.",
	}}}
}
