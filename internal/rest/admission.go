package rest

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/problem"
)

// rateName is the name of the only rate that the headers RateLimit-Policy and RateLimit
// report.
const rateName = `"token"`

// peerAddress returns the address of the other end of the connection.
func peerAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // no socket, as in tests
	}
	return peer.Addr()
}

// admit admits a call with a valid token, if its token and its project have room for
// one more. c.leave ends it.
func (c *call) admit(who Caller) error {
	project, token := who.Identity()
	c.part = c.Limits.Budget.Part(project)
	if err := c.countCall(token); err != nil {
		return err
	}
	if c.ep != nil && c.ep.streams {
		if !c.Limits.Streams.TryEnter(token) {
			return problem.New(problem.CodeRateLimited, "This token already has %d event streams open, which is the maximum. Close one first.", c.Limits.Settings.StreamsPerToken).Retry(limits.RetryStream)
		}
		c.leave = func() { c.Limits.Streams.Leave(token) }
		return nil
	}
	if err := c.Limits.Calls.Enter(c.r.Context(), project, token); err != nil {
		return err
	}
	c.leave = func() { c.Limits.Calls.Leave(project, token) }
	return nil
}

// countCall counts the call towards the rate of its token, if there is one, and tells
// the client what is left.
func (c *call) countCall(token ids.Token) error {
	if c.Limits.TokenRate == nil {
		return nil
	}
	s := c.Limits.TokenRate.Use(token)
	header := c.w.Header()
	header.Set("RateLimit-Policy", fmt.Sprintf("%s;q=%d;w=1", rateName, c.Limits.TokenRate.Burst()))
	header.Set("RateLimit", fmt.Sprintf("%s;r=%d;t=%d", rateName, s.Remaining, int(math.Ceil(s.Reset.Seconds()))))
	if s.Allowed {
		return nil
	}
	return problem.New(problem.CodeRateLimited, "This token is limited to %d calls per second.", c.Limits.Settings.TokenRate).Retry(s.Retry)
}

// countWrongToken counts an invalid token against the address that it came from. Valid
// tokens are looked up first, so they are never refused because of the failures of
// others.
func (c *call) countWrongToken(err error) error {
	s := c.Limits.WrongTokens.Use(limits.AddressKey(c.ClientAddress(c.r)))
	if s.Allowed {
		return err
	}
	return problem.New(problem.CodeRateLimited, "Too many invalid tokens were sent from your address.").Retry(s.Retry)
}
