package limits

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// patience is how long a call over a limit waits for another to end.
const patience = time.Second

// Calls limits the concurrent calls of a token and of a project.
type Calls struct {
	perToken, perProject int
	tokens               *Gate[ids.Token]
	projects             *Gate[ids.Project]
	running              atomic.Int64
}

// NewCalls returns the given limits for calls. 0 means no limit.
func NewCalls(perToken, perProject int) *Calls {
	return &Calls{
		perToken: perToken, perProject: perProject,
		tokens: NewGate[ids.Token](perToken), projects: NewGate[ids.Project](perProject),
	}
}

// Enter starts a call, which must be ended with Leave. A call over a limit waits
// briefly, and is then rate_limited.
func (c *Calls) Enter(ctx context.Context, projectID ids.Project, tokenID ids.Token) error {
	if !c.tryEnter(projectID, tokenID) {
		if err := c.wait(ctx, projectID, tokenID); err != nil {
			return err
		}
	}
	c.running.Add(1)
	return nil
}

func (c *Calls) tryEnter(projectID ids.Project, tokenID ids.Token) bool {
	if !c.tokens.TryEnter(tokenID) {
		return false
	}
	if !c.projects.TryEnter(projectID) {
		c.tokens.Leave(tokenID)
		return false
	}
	return true
}

func (c *Calls) wait(ctx context.Context, projectID ids.Project, tokenID ids.Token) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !c.tokens.Enter(ctx, tokenID) {
		return tooMany("This token already has %d calls running, which is the maximum. Wait until one has finished.", c.perToken)
	}
	if !c.projects.Enter(ctx, projectID) {
		c.tokens.Leave(tokenID)
		return tooMany("The project already has %d calls running, which is the maximum. Wait until one has finished.", c.perProject)
	}
	return nil
}

func tooMany(format string, args ...any) error {
	return problem.New(problem.CodeRateLimited, format, args...).Retry(time.Second)
}

// Leave ends a call.
func (c *Calls) Leave(projectID ids.Project, tokenID ids.Token) {
	c.running.Add(-1)
	c.projects.Leave(projectID)
	c.tokens.Leave(tokenID)
}

// Running returns the number of calls in progress.
func (c *Calls) Running() int { return int(c.running.Load()) }
