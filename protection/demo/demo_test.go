package demo

import (
	"context"
	"flag"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
	core "github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// release is the folder of a mosparo release with built assets, whose widget is then the one in the browser.
var release = flag.String("release", "", "folder of a mosparo release whose widget to test instead of ours")

// start runs core and website as serve --demo does, and returns the website's URL.
func start(t *testing.T, minimum int64) (site string, p *protection.Project, s *core.Server) {
	t.Helper()
	key, _ := crypt.GenerateKey()
	s, err := core.Open(t.Context(), core.Options{Listen: "127.0.0.1:0", Store: store.Options{Path: filepath.Join(t.TempDir(), "demo.sqlite"), Key: key},
		Cache: cache.Options{Adapter: "memory"}, Settings: core.Settings{Cleanup: cleanup.Defaults(), AppDir: *release}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if p, err = Seed(t.Context(), s.Store()); err != nil {
		t.Fatal(err)
	}
	p.Settings["minimumTimeSeconds"] = php.Int(minimum)
	if err := s.Store().UpdateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewServer(NewSite("http://"+s.Addr(), p))
	t.Cleanup(w.Close)
	return w.URL, p, s
}

const (
	checked = "document.querySelector('.mosparo__container').classList.contains('mosparo__checked')"
	invalid = "document.querySelector('.mosparo__container').classList.contains('mosparo__invalid')"
	ready   = "!!document.querySelector('.mosparo__submit-token') && document.querySelector('.mosparo__submit-token').value !== '' && !box.isLocked"
	outcome = "!!document.getElementById('outcome')"
)

func (b *browser) form(site, message string) {
	b.t.Helper()
	b.open(site)
	b.wait("a token", ready)
	b.write("#name", "Ada")
	b.write("#message", message)
}

func (b *browser) outcome() string {
	b.t.Helper()
	b.wait("an outcome", outcome)
	s, _ := b.run("return document.getElementById('outcome').dataset.outcome").(string)
	return s
}

// submissions are the newest submissions of the project.
func submissions(t *testing.T, s *core.Server, p *protection.Project) []protection.Submission {
	t.Helper()
	list, err := s.Store().Submissions(t.Context(), p.ID, store.SubmissionFilter{})
	if err != nil || len(list) == 0 {
		t.Fatalf("submissions: %d, %v", len(list), err)
	}
	return list
}

// TestBrowser drives the demo in a real Chromium, as a visitor does.
func TestBrowser(t *testing.T) {
	b := startBrowser(t)
	site, p, s := start(t, 0)
	t.Run("clean", func(t *testing.T) {
		b.form(site, "Hello, this is a question.")
		b.click(".mosparo__checkbox")
		b.wait("a valid check", checked)
		b.screenshot("clean-checked")
		b.click("#send")
		if got := b.outcome(); got != "accepted" {
			t.Errorf("outcome %q: %v", got, b.run("return document.body.innerText"))
		}
		b.screenshot("clean-accepted")
		if sub := submissions(t, s, p)[0]; sub.Valid != protection.Yes || sub.Spam != protection.No || sub.VerifiedAt.IsZero() {
			t.Errorf("the submission is stored as %+v", sub)
		}
	})
	t.Run("spam", func(t *testing.T) {
		b.form(site, "Visit our casino today.")
		b.click(".mosparo__checkbox")
		b.wait("a refusal", invalid)
		b.wait("a reason", "document.querySelector('.mosparo__error-message-visible').innerText.length > 10")
		b.screenshot("spam-refused")
		sub := submissions(t, s, p)[0]
		if sub.Spam != protection.Yes || sub.SpamRating != 10 || sub.Detection == nil || sub.Detection.FieldRuleItems.Get("formData.textarea.message").Len() != 1 {
			t.Errorf("the submission is stored as %+v", sub)
		}
	})
	t.Run("honeypot", func(t *testing.T) {
		b.form(site, "Hello.")
		b.run("document.querySelector('[name=\"" + HoneypotName + "\"]').value = 'https://example.com'")
		b.click(".mosparo__checkbox")
		b.wait("a refusal", invalid)
		b.screenshot("honeypot-refused")
		if sub := submissions(t, s, p)[0]; sub.Spam != protection.Yes || sub.MatchedRuleItems.Len() != 1 {
			t.Errorf("the submission is stored as %+v", sub)
		}
	})
	t.Run("keyboard", func(t *testing.T) {
		b.open(site)
		b.wait("a token", ready)
		b.press(keyTab, "Ada", keyTab, "Only keys.", keyTab, keySpace)
		b.wait("a valid check", checked)
		b.screenshot("keyboard-checked")
		b.press(keyTab, keyEnter)
		if got := b.outcome(); got != "accepted" {
			t.Errorf("outcome %q: %v", got, b.run("return document.body.innerText"))
		}
	})
	t.Run("changed after the check", func(t *testing.T) {
		b.form(site, "Hello.")
		b.click(".mosparo__checkbox")
		b.wait("a valid check", checked)
		b.write("#message", " And casino.")
		b.run("document.getElementById('name').focus()")
		b.wait("the check to be taken back", "!"+checked)
	})
}

// TestTooFast sends a form before the least time, which is set high enough for any machine.
func TestTooFast(t *testing.T) {
	b := startBrowser(t)
	site, p, s := start(t, 3600)
	b.form(site, "Hello.")
	b.click(".mosparo__checkbox")
	b.wait("a valid check", checked)
	b.click("#send")
	if got := b.outcome(); got != "refused" {
		t.Errorf("outcome %q", got)
	}
	b.screenshot("too-fast-refused")
	sub := submissions(t, s, p)[0]
	if v := sub.GeneralVerifications.Get("minimumTime"); sub.Valid != protection.No || v.Get("valid").Truthy() || time.Since(sub.VerifiedAt) > time.Hour {
		t.Errorf("the submission is stored as %+v", sub)
	}
}
