package api

import (
	"context"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// CORS says which web pages may call a project.
type CORS struct {
	AllowOrigins []string `json:"allow_origins,omitzero" maxItems:"50" doc:"Origins such as https://app.example.com, whose pages may call the project with a token; * for all. None when empty."`
}

type settingsOut struct {
	CORS         CORS    `json:"cors"`
	TrackChanges bool    `json:"track_changes" doc:"Whether changes of records are recorded."`
	Stage        *string `json:"stage" doc:"development, staging or production; null if nobody has said."`
	projectdb.Usage
}

func (h *handlers) getSettings(ctx context.Context, ws *Opened, _ *noInput) (settingsOut, error) {
	return describeSettings(ctx, ws, ws.Project.Settings)
}

func describeSettings(ctx context.Context, ws *Opened, s registry.Settings) (settingsOut, error) {
	usage, err := ws.DB.Usage(ctx)
	return settingsOut{CORS{append([]string{}, s.Origins...)}, s.TrackChanges, s.Stage, usage}, err
}

type changeSettingsIn struct {
	Body struct {
		CORS         rest.Optional[CORS]   `json:"cors,omitzero"`
		TrackChanges rest.Flag             `json:"track_changes,omitzero"`
		Stage        rest.Optional[string] `json:"stage,omitzero" doc:"development, staging or production, or null."`
	}
}

// patch returns the change that the input asks for: a member that was sent replaces the
// whole of its old value.
func (in *changeSettingsIn) patch() registry.SettingsPatch {
	patch := registry.SettingsPatch{TrackChanges: in.Body.TrackChanges.Ptr()}
	if cors := in.Body.CORS; cors.Sent {
		patch.Origins = &cors.Value.AllowOrigins
	}
	if stage := in.Body.Stage; stage.Sent {
		text := stage.Ptr()
		patch.Stage = &text
	}
	return patch
}

func (h *handlers) changeSettings(ctx context.Context, ws *Opened, in *changeSettingsIn, faults *problem.Faults) (settingsOut, error) {
	settings, err := ws.ChangeSettings(ctx, faults, in.patch())
	if err != nil {
		return settingsOut{}, err
	}
	return describeSettings(ctx, ws, settings)
}
