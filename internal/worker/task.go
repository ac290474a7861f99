package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// Task is something that a worker can do: it turns an In into an Out. Both are sent as
// JSON.
type Task[In, Out any] struct{ name string }

// handler is a task in the child with its types erased.
type handler func(ctx context.Context, s *Session, body []byte) ([]byte, error)

// tasks are all defined tasks by name.
var tasks = map[string]handler{}

// Define declares a task. Call it to initialize package variables, so that parent and
// child have the same tasks.
func Define[In, Out any](name string, run func(context.Context, *Session, In) (Out, error)) Task[In, Out] {
	if tasks[name] != nil {
		panic("worker: the task " + name + " is defined twice")
	}
	tasks[name] = func(ctx context.Context, s *Session, body []byte) ([]byte, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, fmt.Errorf("decode the input of %s: %w", name, err)
		}
		out, err := run(ctx, s, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}
	return Task[In, Out]{name}
}

// Call runs the task in a worker. receive is called with each piece of data that the
// task sends; if it is nil, the data is not wanted. Its error ends the call and is
// returned unchanged.
//
// If the task fails with a *problem.Error, that is returned. When ctx ends, the call
// ends too, if necessary together with the worker; the error is then that of ctx. A
// worker that dies for any other reason gives a *Died.
func (t Task[In, Out]) Call(ctx context.Context, w *Worker, in In, receive func([]byte) error) (out Out, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("encode the input of %s: %w", t.name, err)
	}
	answer, err := w.call(ctx, t.name, body, receive)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		w.Kill()
		return out, fmt.Errorf("decode the output of %s: %w", t.name, err)
	}
	return out, nil
}

// callBody is the body of a call.
type callBody struct {
	Task string         `json:"task"`
	In   jsontext.Value `json:"in"`
}

// endBody is the body of an end. Exactly one member is set, or none for a successful
// binding.
type endBody struct {
	Out     jsontext.Value `json:"out,omitzero"`
	Problem *problemBody   `json:"problem,omitzero"`
	Failure string         `json:"failure,omitzero"`
}

// problemBody is the transmitted form of a *problem.Error.
type problemBody struct {
	Code    problem.Code     `json:"code"`
	Message string           `json:"message"`
	Details []problem.Detail `json:"details,omitzero"`
	More    bool             `json:"more,omitzero"`
	Retry   int64            `json:"retry,omitzero"` // nanoseconds
	Cause   string           `json:"cause,omitzero"`
}

// endOf returns the end that reports an error.
func endOf(err error) endBody {
	var p *problem.Error
	if !errors.As(err, &p) {
		return endBody{Failure: err.Error()}
	}
	b := &problemBody{Code: p.Code, Message: p.Message, Details: p.Details, More: p.More, Retry: int64(p.RetryAfter)}
	if cause := errors.Unwrap(p); cause != nil {
		b.Cause = cause.Error()
	}
	return endBody{Problem: b}
}

// err returns the reported error, or nil.
func (e endBody) err() error {
	switch {
	case e.Problem != nil:
		p := problem.New(e.Problem.Code, "%s", e.Problem.Message).Retry(time.Duration(e.Problem.Retry))
		p.Details, p.More = e.Problem.Details, e.Problem.More
		if e.Problem.Cause != "" {
			p = p.Because(errors.New(e.Problem.Cause))
		}
		return p
	case e.Failure != "":
		return errors.New(e.Failure)
	}
	return nil
}
