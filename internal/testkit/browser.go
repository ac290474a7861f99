package testkit

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Browser is a page in Chromium. What it writes to its console, violations of the policy
// included, fails the test at the end.
type Browser struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	messages []string
}

// NewBrowser starts a browser with an empty profile.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	Slow(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(Tool(t, "chromium")), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 800),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, closePage := chromedp.NewContext(allocator)
	b := &Browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		// Waits until the browser has ended, so that its profile can be removed.
		_ = chromedp.Cancel(ctx)
		closePage()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil { // starts it; a deadline here would be that of the browser
		t.Fatalf("start chromium: %v", err)
	}
	messages := chromedp.Console(ctx)
	go func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.messages = append(b.messages, message.String())
			b.mu.Unlock()
		}
	}()
	return b
}

// Quiet fails the test if the page has written to its console, except for messages that
// contain one of the texts.
func (b *Browser) Quiet(except ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, message := range b.messages {
		expected := strings.Contains(message, "ViewTransition") // given up for a page that came too fast
		for _, text := range except {
			expected = expected || strings.Contains(message, text)
		}
		if !expected {
			b.t.Errorf("the console says %s", message)
		}
	}
}

// run runs an action within [Slack].
func run[T any](b *Browser, action chromedp.Action[T], what string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Slack)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return result
}

// Cookie gives the browser a cookie for a server.
func (b *Browser) Cookie(server string, cookie *http.Cookie) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Slack)
	defer cancel()
	params := network.SetCookieParams{Name: cookie.Name, Value: cookie.Value, URL: server, SameSite: network.CookieSameSiteStrict}
	if _, err := chromedp.Call(ctx, network.SetCookie, params); err != nil {
		b.t.Fatalf("set a cookie: %v", err)
	}
}

// Open goes to a page and waits until it has loaded.
func (b *Browser) Open(url string) {
	b.t.Helper()
	run(b, chromedp.Navigate(url), "open "+url)
}

// Size changes the size of the window.
func (b *Browser) Size(width, height int64) {
	b.t.Helper()
	run(b, chromedp.EmulateViewport(width, height), "change the size")
}

// Press presses the keys of a text, such as kb.Enter, each with the modifiers. What a key
// would type is not typed if the page prevents it, as with a real keyboard.
func (b *Browser) Press(keys string, modifiers ...chromedp.Modifier) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Slack)
	defer cancel()
	for _, key := range keys {
		events := kb.Encode(key)
		for _, event := range events {
			chromedp.KeyModifiers(modifiers...)(event)
			switch event.Type {
			case input.DispatchKeyEventTypeChar:
				continue
			case input.DispatchKeyEventTypeKeyUp:
			default:
				event.Type = input.DispatchKeyEventTypeKeyDown
				if typed := events[1]; typed.Type == input.DispatchKeyEventTypeChar && event.Modifiers&^int64(chromedp.ModifierShift) == 0 {
					event.Text, event.UnmodifiedText = typed.Text, typed.UnmodifiedText
				}
			}
			if _, err := chromedp.Call(ctx, input.DispatchKeyEvent, *event); err != nil {
				b.t.Fatalf("press %q: %v", key, err)
			}
		}
	}
}

// Click clicks on the first element of a selector, which must be visible.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	run(b, chromedp.Click(selector, chromedp.NodeVisible), "click on "+selector)
}

// Text evaluates an expression, such as document.title, to a text.
func (b *Browser) Text(expression string) string {
	b.t.Helper()
	return run(b, chromedp.Evaluate[string]("String("+expression+")"), expression)
}

// Wait waits until an expression is true.
func (b *Browser) Wait(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(Slack)
	for {
		ctx, cancel := context.WithTimeout(b.ctx, Slack)
		is, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		cancel()
		if err == nil && is { // while a page changes there is nothing to ask
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never true: %s (%v); the focus is at %s; the page says\n%s", expression, err, b.Text("document.activeElement.outerHTML.slice(0, 200) + document.activeElement.value"), b.Text("document.body.innerText"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Screenshot writes a picture of the window into the folder that the environment variable
// ZANGTABLE_SCREENSHOTS names, if it does.
func (b *Browser) Screenshot(name string) {
	b.t.Helper()
	folder := os.Getenv("ZANGTABLE_SCREENSHOTS")
	if folder == "" {
		return
	}
	picture := run(b, chromedp.CaptureScreenshot(), "take a screenshot")
	if err := os.WriteFile(folder+"/"+name+".png", picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}
