package health

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// staleness is how mosparo's compiled container relates to what it was made of.
type staleness struct {
	dir      string // of the compiled container
	compiled time.Time
	newer    string // a file that is newer; "" if there is none
	changed  time.Time
}

// staleCache compares the compiled container with the code.
func staleCache() Check {
	return question[staleness]{
		Info: Info{
			Name: "files-cache", Family: FamilyFiles,
			Title: "Is var/cache newer than the code it was compiled from?",
			Why:   "With a container of older code routes and services are missing, and options such as the database's TLS are the old ones.",
			Mend:  "remove the compiled container: mosparo makes it anew",
		},
		ask: func(ctx context.Context, n *node) (staleness, error) {
			var s staleness
			if err := n.mosparo(ctx); err != nil {
				return s, err
			}
			env := "prod"
			if e, err := n.environment(ctx); err == nil && e.values["APP_ENV"] != "" {
				env = e.values["APP_ENV"]
			}
			s.dir = n.file("var/cache/" + env)
			entries, err := n.host.ReadDir(ctx, s.dir)
			if errors.Is(err, fs.ErrNotExist) {
				return s, nil
			}
			if err != nil {
				return s, err
			}
			for _, e := range entries {
				if !e.IsDir() && len(e.Name) > 4 && e.Name[len(e.Name)-4:] == ".php" && e.MTime.After(s.compiled) {
					s.compiled = e.MTime
				}
			}
			if s.compiled.IsZero() {
				return s, nil
			}
			for _, name := range []string{"src/Kernel.php", "composer.lock", "config/services.yaml", releaseInfoFile} {
				info, err := n.stat(ctx, n.file(name))
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return s, err
				}
				if info.MTime.After(s.changed) {
					s.changed = info.MTime
				}
				if s.newer == "" && info.MTime.After(s.compiled) {
					s.newer = name
				}
			}
			return s, nil
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[staleness]) {
			for _, a := range answers {
				switch {
				case a.value.compiled.IsZero():
					v.ok(a.node, "not compiled yet")
				case a.value.newer != "":
					v.warn(a.node, a.node.exec("rm", "-rf", a.value.dir),
						"%s is newer than the compiled container of %s", a.value.newer, stamp(a.value.compiled))
				default:
					v.ok(a.node, "compiled %s", stamp(a.value.compiled))
				}
			}
		},
	}
}

// stamp is a time for people, in UTC like all times in reports.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
