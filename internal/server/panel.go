package server

import (
	"context"
	"net/url"

	"github.com/zangtable/zangtable/internal/api"
	"github.com/zangtable/zangtable/internal/panel"
)

// newPanel returns the panel, nil if it is switched off. It works on an API of its own,
// in which sessions are the credentials.
func (app *App) newPanel(config api.Config) *panel.Panel {
	if !app.settings.Admin {
		return nil
	}
	return panel.New(panel.Config{
		Registry: app.Registry, API: api.NewForSessions(config),
		Allows: app.settings.PublicURL.AllowsHost, Secure: app.settings.PublicURL.IsSecure(),
		ClientAddress: app.settings.TrustedProxies.ClientAddress,
		Log:           config.HTTP.Log, Now: config.HTTP.Now,
	})
}

// SetupLink returns the address at which the first owner sets up the panel, "" once
// there is an owner. Earlier links no longer work.
func (app *App) SetupLink(ctx context.Context, base string) (string, error) {
	code, err := app.Registry.SetupCode(ctx)
	if err != nil || code == "" {
		return "", err
	}
	return base + panel.Prefix + "/setup?" + url.Values{"code": {code}}.Encode(), nil
}
