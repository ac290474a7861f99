package rest

import (
	"cmp"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
)

// Events is the output of a handler whose answer is a stream of server-sent events: one
// named manifest per update, until there are no more.
type Events[Manifest any] struct {
	Updates <-chan Manifest
	Name    string // of each event; "" is manifest
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
			err = c.pushEvent(cmp.Or(events.Name, "manifest"), m)
		}
		if err != nil {
			return // the client has disconnected: there is nobody left to tell
		}
	}
}

func (c *call) pushEvent(name string, m any) error {
	data, err := json.Marshal(m, answerOptions)
	if err != nil {
		panic(fmt.Errorf("encode a manifest: %w", err))
	}
	return c.push("event: " + name + "\ndata: " + string(data) + "\n\n")
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
	data := registry.Schema(reflect.TypeFor[Manifest](), true, "Manifest")
	return map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
		Type:        huma.TypeString,
		Description: "Events named manifest, each with the data of " + data.Ref + ", until the job has finished; comments in between keep the connection alive.",
	}}}
}
