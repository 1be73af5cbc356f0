// Package security holds the decisions about a visitor that need no rules: which settings apply, whose address a request
// comes from, when it must wait, how hard its proof of work is, whether it filled in the honeypot. All functions are pure;
// counts, rows and the time come from the caller.
package security

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/wildcard"
)

// Settings are the security settings in force for one request.
type Settings struct {
	Guideline int64 // id of the guideline that matched, 0 if none

	MinimumTimeActive  bool
	MinimumTimeSeconds int64

	HoneypotActive bool
	HoneypotName   string

	Delay   Limit // of requests for submit tokens
	Lockout Limit // of checks

	ProofOfWork ProofOfWork

	EqualActive  bool
	EqualNumber  int64 // equal submissions allowed, the current one included
	EqualSeconds int64 // window in which they are counted
	EqualByIP    bool

	AllowList string // the project's, also under a guideline

	// Active and SpamScore decide about rules: the project's, or the guideline's if it overrides them.
	Active    bool
	SpamScore float64
}

// Limit is a delay or a lockout.
type Limit struct {
	Kind          protection.RestrictionKind
	Active        bool
	Requests      int64 // allowed in the window
	Window        int64 // seconds
	Duration      int64 // seconds of the first restriction
	Multiplicator float64
}

// ProofOfWork is how many numbers a visitor has to try.
type ProofOfWork struct {
	Active        bool
	Complexity    int64 // the number is at most 10^Complexity - 1
	Dynamic       bool  // grows up to MaxComplexity with the requests counted
	MaxComplexity int64
	Requests      int64 // at which the growth is complete
	Window        int64 // seconds in which requests count
	ByIP          bool  // count those of the visitor only
}

// Visit is what decides about guidelines.
type Visit struct {
	IP            string
	Location      *protection.Localization // nil without GeoIP
	PageURL       string
	FormActionURL string
	FormID        string
}

// Resolve returns the settings for a visit: those of the first guideline that matches, by falling priority, over those of
// the project over the defaults. Guidelines are not merged with each other.
func Resolve(p *protection.Project, guidelines []protection.Guideline, v Visit) Settings {
	sorted := slices.Clone(guidelines)
	slices.SortStableFunc(sorted, func(a, b protection.Guideline) int { return b.Priority - a.Priority })
	for i := range sorted {
		if g := &sorted[i]; applies(g, v) {
			merged := maps.Clone(p.Settings)
			if merged == nil {
				merged = protection.Settings{}
			}
			maps.Copy(merged, g.Settings)
			if list, ok := p.Settings["ipAllowList"]; ok {
				merged["ipAllowList"] = list
			} else {
				delete(merged, "ipAllowList")
			}
			s := read(merged, p)
			s.Guideline = g.ID
			if g.Settings.Bool("overrideSpamDetection", false) {
				if status, ok := g.Settings["spamStatus"]; ok {
					s.Active = status.Truthy()
				}
				s.SpamScore = g.Settings.Float("spamScore", p.SpamScore)
			}
			return s
		}
	}
	return read(p.Settings, p)
}

func read(s protection.Settings, p *protection.Project) Settings {
	return Settings{
		MinimumTimeActive:  s.Bool("minimumTimeActive", false),
		MinimumTimeSeconds: s.Int("minimumTimeSeconds", 10),
		HoneypotActive:     s.Bool("honeypotFieldActive", false),
		HoneypotName:       s.Text("honeypotFieldName", ""),
		Delay: Limit{
			Kind: protection.Delay, Active: s.Bool("delayActive", false), Requests: s.Int("delayNumberOfRequests", 30),
			Window: s.Int("delayDetectionTimeFrame", 30), Duration: s.Int("delayTime", 60), Multiplicator: s.Float("delayMultiplicator", 1.5),
		},
		Lockout: Limit{
			Kind: protection.Lockout, Active: s.Bool("lockoutActive", false), Requests: s.Int("lockoutNumberOfRequests", 60),
			Window: s.Int("lockoutDetectionTimeFrame", 60), Duration: s.Int("lockoutTime", 300), Multiplicator: s.Float("lockoutMultiplicator", 1.2),
		},
		ProofOfWork: ProofOfWork{
			Active: s.Bool("proofOfWorkActive", false), Complexity: s.Int("proofOfWorkComplexity", 5),
			Dynamic:       s.Bool("proofOfWorkDynamicComplexityActive", true),
			MaxComplexity: s.Int("proofOfWorkDynamicComplexityMaxComplexity", 7),
			Requests:      s.Int("proofOfWorkDynamicComplexityNumberOfSubmissions", 30),
			Window:        s.Int("proofOfWorkDynamicComplexityTimeFrame", 300),
			ByIP:          s.Bool("proofOfWorkDynamicComplexityBasedOnIpAddress", true),
		},
		EqualActive:  s.Bool("equalSubmissionsActive", false),
		EqualNumber:  s.Int("equalSubmissionsNumberOfEqualSubmissions", 3),
		EqualSeconds: s.Int("equalSubmissionsTimeFrame", 300),
		EqualByIP:    s.Bool("equalSubmissionsBasedOnIpAddress", true),
		AllowList:    s.Text("ipAllowList", ""),
		Active:       p.Active,
		SpamScore:    p.SpamScore,
	}
}

// Allowed reports whether the address is on the project's allow list, which spares it delay, lockout, honeypot and proof
// of work.
func (s *Settings) Allowed(ip string) bool {
	return strings.TrimSpace(s.AllowList) != "" && Listed(s.AllowList, ip)
}

// applies reports whether a guideline matches. Criteria about the visitor are alternatives, and so are those about the form;
// with both groups one of each must hold. A guideline without any never matches.
func applies(g *protection.Guideline, v Visit) bool {
	aboutIP := len(g.Subnets)+len(g.ASNumbers)+len(g.CountryCodes) > 0
	aboutForm := len(g.FormPageURLs)+len(g.FormActionURLs)+len(g.FormIDs) > 0
	return (aboutIP || aboutForm) && (!aboutIP || ipApplies(g, v)) && (!aboutForm || formApplies(g, v))
}

func ipApplies(g *protection.Guideline, v Visit) bool {
	if slices.ContainsFunc(g.Subnets, func(subnet string) bool { return inRange(subnet, v.IP) }) {
		return true
	}
	if v.Location == nil {
		return false
	}
	return v.Location.Country != "" && slices.Contains(g.CountryCodes, v.Location.Country) ||
		v.Location.ASNumber != 0 && slices.ContainsFunc(g.ASNumbers, func(n string) bool {
			return php.IsNumeric(n) && php.Trim(n) == strconv.FormatInt(v.Location.ASNumber, 10)
		})
}

func formApplies(g *protection.Guideline, v Visit) bool {
	matches := func(url string) func(string) bool {
		return func(pattern string) bool { return matchURL(pattern, url) }
	}
	return slices.ContainsFunc(g.FormPageURLs, matches(v.PageURL)) || slices.ContainsFunc(g.FormActionURLs, matches(v.FormActionURL)) ||
		v.FormID != "" && slices.Contains(g.FormIDs, v.FormID)
}

// matchURL compares a URL with a prefix, or with a pattern of * and ?.
func matchURL(pattern, url string) bool {
	if url == "" {
		return false
	}
	return !strings.Contains(pattern, "*") && strings.HasPrefix(url, pattern) || wildcard.Match(pattern, url)
}
