package registry

import (
	"context"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Settings are the properties of a project that its admins choose.
type Settings struct {
	Stage        *string // one of Stages; nil if nobody has said
	TrackChanges bool    // whether changes of records are recorded
	Origins      Origins // whose web pages may call the project
}

// Stages are what a project can be used for.
var Stages = []string{"development", "staging", "production"}

// settingsColumns are the columns that scanSettings reads, of projects as p.
const settingsColumns = "p.stage, p.track_changes, p.cors_origins"

func scanSettings(s *sqlite.Stmt, at int) Settings {
	return Settings{Stage: s.TextOrNil(at), TrackChanges: s.Int(at+1) != 0, Origins: strings.Fields(s.Text(at + 2))}
}

// SettingsPatch is a change of settings; nil leaves one as it is.
type SettingsPatch struct {
	Stage        **string // a nil text removes the stage
	TrackChanges *bool
	Origins      *[]string // as written by a client; an empty list switches CORS off
}

// apply returns the settings with the changes, and notes every fault.
func (patch SettingsPatch) apply(settings Settings, faults *problem.Faults) Settings {
	if patch.Stage != nil {
		if settings.Stage = *patch.Stage; settings.Stage != nil && !slices.Contains(Stages, *settings.Stage) {
			faults.WrongChoice("stage", Stages)
		}
	}
	if patch.TrackChanges != nil {
		settings.TrackChanges = *patch.TrackChanges
	}
	if patch.Origins != nil {
		settings.Origins = parseOrigins(faults, "cors.allow_origins", *patch.Origins)
	}
	return settings
}

// ChangeSettings changes the settings of the project and returns all of them. It needs
// project:admin.
func (ws *Workspace) ChangeSettings(ctx context.Context, faults *problem.Faults, patch SettingsPatch) (settings Settings, err error) {
	if err := ws.Require(ProjectAdmin); err != nil {
		return settings, err
	}
	patch.apply(Settings{}, faults)
	if err := faults.Err(); err != nil {
		return settings, err
	}
	r := ws.registry
	err = r.write(ctx, func(c *sqlite.Conn) error {
		if err := ws.stillValid(c); err != nil {
			return err
		}
		before, err := readSettings(c, ws.Project)
		if err != nil {
			return err
		}
		settings = patch.apply(before, faults)
		return c.Exec("UPDATE projects SET stage = ?, track_changes = ?, cors_origins = ?, updated_at = ? WHERE id = ?",
			nullable(settings.Stage), settings.TrackChanges, strings.Join(settings.Origins, " "), projectdb.Timestamp(r.options.Now()), ws.Project.ID)
	})
	if err != nil {
		return Settings{}, err
	}
	r.known.forget()
	return settings, r.readOrigins(ctx)
}

func readSettings(c *sqlite.Conn, project Project) (settings Settings, err error) {
	found := false
	err = c.Query("SELECT "+settingsColumns+" FROM projects p WHERE p.id = ?", []any{project.ID}, func(s *sqlite.Stmt) error {
		settings, found = scanSettings(s, 0), true
		return nil
	})
	if err == nil && !found {
		err = problem.NotFound("The project", project.Slug)
	}
	return settings, err
}
