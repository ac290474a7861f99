package panel

import (
	"net/http"
	"net/url"

	"github.com/zangtable/zangtable/internal/registry"
)

// auditView is the data of the page of the audit log.
type auditView struct {
	Filter  url.Values
	Entries []registry.AuditEntry
	Older   string               // the address of the next page; "" at the end
	Chain   *registry.AuditChain // after the log was verified
}

func showAudit(q *request) error {
	view := auditView{Filter: pick(q.r.URL.Query(), "project", "action", "actor", "outcome", "from", "to")}
	asked := pick(q.r.URL.Query(), "project", "action", "actor", "outcome", "from", "to", "after")
	var listed struct {
		Entries []registry.AuditEntry
		Next    *string `json:"next_cursor"`
	}
	if err := q.call(http.MethodGet, "/server/audit?"+asked.Encode(), nil, &listed); err != nil {
		return err
	}
	if view.Entries = listed.Entries; listed.Next != nil {
		asked.Set("after", *listed.Next)
		view.Older = pagePath("server", "audit") + "?" + asked.Encode()
	}
	if q.r.URL.Query().Has("verify") {
		var verified struct{ Chain registry.AuditChain }
		if err := q.get(&verified, "/server/audit/verify"); err != nil {
			return err
		}
		view.Chain = &verified.Chain
	}
	q.show(http.StatusOK, "audit", page{Title: "Audit log", Section: "audit", Data: view})
	return nil
}
