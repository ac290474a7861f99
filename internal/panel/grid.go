package panel

import (
	"net/url"
)

// grid is what the script of the page of a table is told, as JSON in the page.
type grid struct {
	API         string            `json:"api"`   // address of the project in the API
	Pages       string            `json:"pages"` // address of the project in the panel
	ID          int64             `json:"id"`
	Table       string            `json:"table"`
	Columns     []gridColumn      `json:"columns"`
	Key         []string          `json:"key"`
	MayWrite    bool              `json:"mayWrite"`
	ForeignKeys []foreignKey      `json:"foreignKeys"`
	ReferredBy  []referrer        `json:"referredBy"`
	View        map[string]string `json:"view"`   // the parameters of its lists
	Window      *window           `json:"window"` // the first records; nil if the page shows others
	Sorts       []gridSort        `json:"sorts"`  // by column
}

// gridColumn is a column of a grid.
type gridColumn struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
	Key      bool   `json:"key"`
	Optional bool   `json:"optional"` // a new record need not have a value
}

// gridSort says how the records are ordered by a column, and where they are otherwise.
type gridSort struct {
	Order string `json:"order"`
	Link  string `json:"link"`
}

// gridOf describes a table for the script of its page.
func gridOf(p *page, view *tableView, found window, query url.Values) grid {
	shape := &view.Shape
	g := grid{
		API: apiPrefix + apiPath("/projects/%s", p.Project), Pages: pagePath("p", p.Project),
		ID: shape.Table.ID, Table: shape.Table.Name, Key: shape.PrimaryKey, MayWrite: p.Rail.Writes,
		ForeignKeys: append([]foreignKey{}, shape.ForeignKeys...), ReferredBy: append([]referrer{}, shape.ReferredBy...),
		View: map[string]string{},
	}
	if g.Key == nil {
		g.Key = []string{}
	}
	for _, name := range []string{"filters", "sort", "order"} {
		if text := query.Get(name); text != "" {
			g.View[name] = text
		}
	}
	for _, c := range shape.Columns {
		optional := c.Nullable == 1 || len(c.Default) > 0 && string(c.Default) != "null" || c.Computed != nil ||
			c.Primary == 1 && c.Type == "INTEGER" && len(shape.PrimaryKey) == 1
		g.Columns = append(g.Columns, gridColumn{c.Name, c.Type, c.Nullable == 1, c.Primary == 1, optional})
	}
	for _, h := range view.Headings {
		g.Sorts = append(g.Sorts, gridSort{h.Order, h.Sort})
	}
	if !query.Has("after") && !query.Has("before") {
		g.Window = &found
	}
	return g
}
