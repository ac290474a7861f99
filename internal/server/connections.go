package server

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// connections limits how many connections a server has. Further ones wait in the
// system's queue until another ends, and idle keep-alive connections are closed to make
// room for them.
type connections struct {
	net.Listener
	places    chan struct{} // holds a token for each connection, and for the next one
	open      atomic.Int64
	closeIdle func()

	close  sync.Once
	closed chan struct{}
}

// roomInterval is how often idle connections are closed while others wait.
const roomInterval = time.Second

// connections returns a listener for srv that limits its connections.
func (app *App) connections(srv *http.Server, listener net.Listener) net.Listener {
	c := &app.conns
	c.Listener, c.closed = listener, make(chan struct{})
	c.closeIdle = func() {
		srv.SetKeepAlivesEnabled(false) // closes the idle ones
		srv.SetKeepAlivesEnabled(true)
	}
	if most := app.settings.Limits.Connections; most > 0 {
		c.places = make(chan struct{}, most)
	}
	srv.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			c.open.Add(-1)
			c.giveBack()
		}
	}
	return c
}

// Accept waits for a place first, so that no connection is accepted and then left
// waiting.
func (c *connections) Accept() (net.Conn, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	conn, err := c.Listener.Accept()
	if err != nil {
		c.giveBack()
		return nil, err
	}
	c.open.Add(1)
	return conn, nil
}

func (c *connections) enter() error {
	if c.places == nil {
		return nil
	}
	select {
	case c.places <- struct{}{}:
		return nil
	default:
	}
	for {
		c.closeIdle()
		select {
		case c.places <- struct{}{}:
			return nil
		case <-c.closed:
			return net.ErrClosed
		case <-time.After(roomInterval):
		}
	}
}

func (c *connections) giveBack() {
	if c.places != nil {
		<-c.places
	}
}

// Close ends Accept.
func (c *connections) Close() error {
	c.close.Do(func() { close(c.closed) })
	return c.Listener.Close()
}
