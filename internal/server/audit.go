package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// auditTime is how long storing an entry of the audit log may take.
const auditTime = 10 * time.Second

// unanswered is the outcome of a call whose client went before it was answered: it may
// have been made.
const unanswered problem.Code = "unanswered"

// auditCall stores a call in the audit log.
func (app *App) auditCall(ctx context.Context, o rest.Observation) {
	ws, ok := o.Who.(*registry.Workspace)
	if !ok {
		return
	}
	e := registry.AuditEvent{Actor: *ws.Author(), Action: o.Route, Project: ws.Project, Object: objectOf(o), Note: o.Note, Outcome: o.Code, RequestID: o.RequestID}
	if o.Address.IsValid() {
		e.Address = o.Address.String()
	}
	if o.Status == rest.StatusGone {
		e.Outcome = unanswered
	}
	app.audit(ctx, e)
}

// objectOf returns what a call was about.
func objectOf(o rest.Observation) string {
	var parts []string
	if o.Table != "" {
		parts = append(parts, "table "+o.Table)
	}
	if o.Kind != "" {
		parts = append(parts, o.Kind+" "+o.Object)
	}
	return strings.Join(parts, ", ")
}

// audit stores an event. What has happened cannot be taken back when that fails, so the
// log has it instead.
func (app *App) audit(ctx context.Context, e registry.AuditEvent) {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	if err := app.Registry.Audit(ctx, e); err != nil {
		app.log.Error("an entry of the audit log could not be stored", "event", fmt.Sprintf("%+v", e), "error", err)
	}
}

// auditCommand stores an operator command in the audit log.
func (app *App) auditCommand(ctx context.Context, name string, in any, err error) {
	e := registry.AuditEvent{Actor: *registry.Operator(), Action: name}
	if about, ok := in.(interface{ slug() string }); ok {
		e.Project.Slug = about.slug()
	}
	if about, ok := in.(interface{ object() string }); ok {
		e.Object = about.object()
	}
	if err != nil {
		e.Outcome = adminError(err).Code
	}
	app.audit(context.WithoutCancel(ctx), e)
}
