package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/limits"
)

// BenchmarkRecording compares calls over HTTP with and without the journal, which is to
// cost at most 5 % of their rate. Run it with -count, and compare medians.
func BenchmarkRecording(b *testing.B) {
	for _, call := range []struct{ name, method, path, body string }{
		{"get", "GET", "/records/companies/1", ""},
		{"list", "GET", "/records/companies?limit=20", ""},
		{"create", "POST", "/records/companies", `{"company_name":"Ink"}`},
	} {
		for _, off := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/journal=%t", call.name, !off), func(b *testing.B) {
				s := start(b, Settings{Limits: limits.Settings{}, Journal: JournalSettings{Off: off}})
				defer func() {
					s.stop()
					<-s.served
				}()
				url := s.url + "/projects/" + s.ready.Project.Slug + call.path
				client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
				defer client.CloseIdleConnections()
				b.SetParallelism(8)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := makeCall(client, call.method, url, s.ready.Token, call.body); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
				_, dropped := s.app.Journal.Lag()
				b.ReportMetric(float64(dropped), "dropped")
			})
		}
	}
}

func makeCall(client *http.Client, method, url, token, body string) error {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}
