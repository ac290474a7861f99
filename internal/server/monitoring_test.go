package server

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/zangtable/zangtable/internal/limits"
)

// scraped is one metric as GET /metrics shows it.
type scraped struct {
	kind   string // such as "histogram"
	labels map[string]bool
}

var seriesPattern = regexp.MustCompile(`^([a-z_][a-z0-9_]*)(?:\{(.*)\})? `)

// scrape returns the metrics of a server that has answered a few calls, by name.
func scrape(t *testing.T) map[string]*scraped {
	s := stopped(t, start(t, Settings{Metrics: MetricsLoopback, Limits: limits.Defaults()}))
	c := &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token}
	c.call("GET", "/tables", "", nil)
	c.call("POST", "/records/companies", `{"company_name":"Seven"}`, nil)
	_, body := get(t, s.url+"/metrics")
	found := map[string]*scraped{}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
			found[name] = &scraped{kind: kind, labels: map[string]bool{"job": true, "instance": true}} // Prometheus adds these two
			continue
		}
		if m := seriesPattern.FindStringSubmatch(line); m != nil {
			metric := metricOf(found, m[1])
			if metric == nil {
				t.Fatalf("a series without a type: %s", line)
			}
			for _, label := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(m[2], -1) {
				metric.labels[label[1]] = true
			}
		}
	}
	return found
}

// metricOf returns the metric that a series belongs to.
func metricOf(metrics map[string]*scraped, series string) *scraped {
	if m := metrics[series]; m != nil && m.kind != "histogram" {
		return m
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, suffix); ok && metrics[name] != nil {
			return metrics[name]
		}
	}
	return nil
}

var (
	usedPattern  = regexp.MustCompile(`\b((?:zangtable|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	labelPattern = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	byPattern    = regexp.MustCompile(`\bby \(([a-z_, ]+)\)`)
)

// checkExpression checks the names in an expression of PromQL against the metrics.
func checkExpression(t *testing.T, metrics map[string]*scraped, where, expression string) {
	t.Helper()
	labels := map[string]bool{"class": strings.Contains(expression, `label_replace(`)}
	for _, used := range usedPattern.FindAllStringSubmatch(expression, -1) {
		metric := metricOf(metrics, used[1])
		if metric == nil {
			t.Errorf("%s: there is no metric %s", where, used[1])
			continue
		}
		for _, label := range labelPattern.FindAllStringSubmatch(used[2], -1) {
			if !metric.labels[label[1]] {
				t.Errorf("%s: %s has no label %s", where, used[1], label[1])
			}
		}
		maps.Copy(labels, metric.labels)
	}
	for _, by := range byPattern.FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(by[1], ", ") {
			if !labels[label] {
				t.Errorf("%s: no metric of it has a label %s", where, label)
			}
		}
	}
	if strings.Count(expression, "(") != strings.Count(expression, ")") {
		t.Errorf("%s: parentheses do not match: %s", where, expression)
	}
}

type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
	Templating struct{ List []struct{ Definition string } }
}

type alertRules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr string
			Annotations map[string]string
		}
	}
}

// TestMonitoring compares the dashboard, the alert rules and the page for operators with
// the metrics that the server has.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	metrics := scrape(t)
	all := readDoc(t, "operating/grafana.json")
	var d dashboard
	if err := json.Unmarshal([]byte(all), &d); err != nil {
		t.Fatal(err)
	}
	expressions := 0
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			checkExpression(t, metrics, "the panel "+panel.Title, target.Expr)
			expressions++
		}
	}
	for _, variable := range d.Templating.List {
		checkExpression(t, metrics, "a variable", variable.Definition)
	}
	var alerts alertRules
	if err := yaml.Unmarshal([]byte(readDoc(t, "operating/alerts.yaml")), &alerts); err != nil {
		t.Fatal(err)
	}
	for _, group := range alerts.Groups {
		for _, rule := range group.Rules {
			checkExpression(t, metrics, "the alert "+rule.Alert, rule.Expr)
			if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("the alert %s does not say what it means", rule.Alert)
			}
			expressions++
		}
	}
	if expressions < 40 {
		t.Errorf("only %d expressions were found", expressions)
	}
	checkMetricsPage(t, metrics, all)
}

// checkMetricsPage checks that each metric of ours is described on the page for
// operators, and shown on the dashboard.
func checkMetricsPage(t *testing.T, metrics map[string]*scraped, dashboard string) {
	t.Helper()
	page := readDoc(t, "operating.md")
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		short, ours := strings.CutPrefix(name, "zangtable_")
		if !ours {
			continue
		}
		var labels []string
		for label := range metrics[name].labels {
			if !slices.Contains([]string{"job", "instance", "le"}, label) {
				labels = append(labels, "`"+label+"`")
			}
		}
		slices.Sort(labels)
		if row := strings.ReplaceAll("| `zangtable_"+short+"` | "+strings.Join(labels, ", ")+" |", "|  |", "| |"); !strings.Contains(page, row) {
			t.Errorf("docs/operating.md has no row that begins %s", row)
		}
		if !strings.Contains(dashboard, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`\| `+"`(zangtable_[a-z_]+)`").FindAllStringSubmatch(page, -1) {
		if metrics[name[1]] == nil {
			t.Errorf("docs/operating.md describes %s, which the server does not have", name[1])
		}
	}
}

// readDoc returns a file of the folder docs.
func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
