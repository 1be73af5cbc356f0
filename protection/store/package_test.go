package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
)

func newPackage(t *testing.T, s *Store) *protection.RulePackage {
	t.Helper()
	p := &protection.RulePackage{ProjectID: newProject(t, s).ID, UUID: "package", Name: "n", Source: "https://packages.example/x.json", Type: protection.PackageURL, Active: true, Factor: protection.NewFactor(2)}
	must(t, s.SavePackage(t.Context(), p))
	return p
}

func content(at time.Time, rules ...protection.Rule) PackageContent {
	return PackageContent{UpdatedAt: at, RefreshInterval: time.Hour, Rules: rules}
}

func packageRule(n int, items ...protection.RuleItem) protection.Rule {
	return protection.Rule{UUID: fmt.Sprintf("rule-%d", n), Name: fmt.Sprint("rule ", n), Type: protection.RuleWord, Factor: protection.NewFactor(1.5), Items: items}
}

func testPackages(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newPackage(t, s)
	got, err := s.Package(ctx, p.ProjectID, p.ID)
	must(t, err)
	same(t, "package", got, p)
	_, _, err = s.PackageRules(ctx, p, 0, 10)
	wantCode(t, err, protection.CodeNotFound)
	_, err = s.Package(ctx, p.ProjectID+1, p.ID)
	wantCode(t, err, protection.CodeNotFound)
	wantCode(t, s.StorePackageItem(ctx, p, "rule-1", &protection.RuleItem{}), protection.CodeNotFound)

	at := testNow.Truncate(time.Second)
	must(t, s.UpdatePackageCache(ctx, p, at, time.Hour, testNow))
	r := packageRule(1)
	must(t, s.StorePackageRule(ctx, p, &r))
	first := r.ID
	must(t, s.CountedItems(ctx, p, first, 7))
	r.Name = "renamed"
	must(t, s.StorePackageRule(ctx, p, &r))
	if rules, _, err := s.PackageRules(ctx, p, 0, 10); err != nil || len(rules) != 1 || rules[0].NumberOfItems != 7 {
		t.Errorf("rules: %+v, %v", rules, err)
	}
	if r.ID != first {
		t.Error("the rule was inserted twice")
	}
	for n := range 5 {
		i := item(n)
		must(t, s.StorePackageItem(ctx, p, "rule-1", &i))
		again := item(n)
		again.Value = "changed"
		must(t, s.StorePackageItem(ctx, p, "rule-1", &again))
		if again.ID != i.ID {
			t.Error("the item was inserted twice")
		}
	}
	wantCode(t, s.StorePackageItem(ctx, p, "rule-2", &protection.RuleItem{UUID: "x"}), protection.CodeNotFound)
	rules, total, err := s.PackageRules(ctx, p, 0, 10)
	must(t, err)
	if total != 1 || len(rules) != 1 || rules[0].Name != "renamed" || rules[0].NumberOfItems != -1 || !rules[0].UpdatedAt.Equal(at) || !rules[0].Active {
		t.Errorf("rules: %+v", rules)
	}
	items, total, err := s.PackageItems(ctx, p, 0, 1, 2)
	must(t, err)
	if total != 5 || len(items) != 2 || items[0].UUID != item(1).UUID || items[0].Value != "changed" || items[0].Hashed != item(1).Hashed {
		t.Errorf("items: %d %+v", total, items)
	}
	wantCode(t, s.RemovePackageRule(ctx, p, first), protection.CodeConflict)
	must(t, s.RemovePackageItem(ctx, p, items[0].ID))
	if _, total, _ = s.PackageItems(ctx, p, first, 0, 10); total != 4 {
		t.Errorf("%d items after a removal", total)
	}
	p.Active, p.Factor = false, protection.Factor{}
	must(t, s.SavePackage(ctx, p))
	if set, err := s.LoadRules(ctx, p.ProjectID); err != nil || len(set.Packages) != 1 || len(set.Packages[0].Rules) != 1 || len(set.Packages[0].Rules[0].Items) != 4 || set.Packages[0].Active {
		t.Errorf("set: %+v, %v", set, err)
	}
	must(t, s.DeletePackage(ctx, p.ProjectID, p.ID))
	wantCode(t, s.DeletePackage(ctx, p.ProjectID, p.ID), protection.CodeNotFound)
	if n := s.rowCount(t, "rule_package_rule_item_cache") + s.rowCount(t, "rule_package_rule_cache") + s.rowCount(t, "rule_package_cache"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func testImport(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newPackage(t, s)
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.FixedZone("", 2*3600))
	many := make([]protection.RuleItem, 3000)
	for n := range many {
		many[n] = item(n)
	}
	do := func(want bool, c PackageContent) {
		t.Helper()
		if changed, err := s.ImportPackage(ctx, p, c); err != nil || changed != want {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	do(true, content(at, packageRule(1, many...), packageRule(2, item(9000))))
	do(false, content(at, packageRule(1)))
	fresh, err := s.Package(ctx, p.ProjectID, p.ID)
	must(t, err)
	same(t, "package after the import", fresh, p)
	if p.Cache.NumberOfRules != 2 || !p.Cache.UpdatedAt.Equal(at) || !p.Cache.RefreshedAt.Equal(testNow.Truncate(time.Second)) || p.Cache.RefreshInterval != time.Hour {
		t.Errorf("cache: %+v", p.Cache)
	}
	before, _, err := s.PackageItems(ctx, p, 0, 0, 10000)
	must(t, err)
	if len(before) != 3001 {
		t.Fatalf("%d items", len(before))
	}
	must(t, s.CountedItems(ctx, p, before[0].RuleID, 3000)) // which an import does away with
	changedItem := item(5)
	changedItem.Value, changedItem.Rating = "other", protection.NewFactor(0)
	next := append([]protection.RuleItem{item(9001), changedItem}, many[6:]...) // 0 to 4 go, 5 changes, one comes
	do(true, content(at.Add(time.Hour), packageRule(1, next...), packageRule(3)))
	after, _, err := s.PackageItems(ctx, p, 0, 0, 10000)
	must(t, err)
	if len(after) != 2996 || after[0].ID != before[5].ID || after[0].Value != "other" || after[0].Rating.Set || after[1].ID != before[6].ID || after[len(after)-1].UUID != item(9001).UUID {
		t.Errorf("%d items, the first %+v", len(after), after[0])
	}
	for _, i := range after {
		if !i.UpdatedAt.Equal(at.Add(time.Hour)) {
			t.Fatalf("item %d was not marked as seen", i.ID)
		}
	}
	rules, _, err := s.PackageRules(ctx, p, 0, 10)
	must(t, err)
	if len(rules) != 2 || rules[0].UUID != "rule-1" || rules[0].NumberOfItems != -1 || rules[1].UUID != "rule-3" || rules[1].NumberOfItems != -1 {
		t.Errorf("rules: %+v", rules)
	}
	if n := s.rowCount(t, "rule_package_processing_job"); n != 0 {
		t.Errorf("%d jobs are left", n)
	}

	_, err = s.ImportPackage(ctx, p, content(at, packageRule(1, protection.RuleItem{UUID: "x"})))
	wantCode(t, err, protection.CodeInvalid)
}

// An import is refused while another one is at work, but not for what one left behind.
func testImportJobs(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newPackage(t, s)
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	minute := func(n int) string { return s.stamp(testNow.Add(time.Duration(-n) * time.Minute)) }
	const archive, none = "application/zip", "a:0:{}"
	for n, c := range []struct {
		name         string
		created      string
		kind         int
		mime         any
		data         string
		refused, end bool // and the job is removed at the end
	}{
		{"our import", minute(1), 1, "application/json", importMark, true, false},
		{"ours, of a node that died", minute(6), 1, "application/json", importMark, false, true},
		{"mosparo's after an import that changed nothing", minute(0), 1, "application/json", none, false, true},
		{"mosparo's archive", minute(50), 1, archive, none, true, false},
		{"mosparo's archive, given up", minute(61), 1, archive, none, false, false},
		{"mosparo's removal of the package, given up", minute(0), 2, nil, none, false, false},
	} {
		must(t, s.b.write(ctx, c.name, func(ctx context.Context, q querier) error {
			_, err := q.exec(ctx, "INSERT INTO rule_package_processing_job (created_at, type, mimetype, processed_import_data, import_tasks, processed_import_tasks, processed_cleanup_data, "+
				"cleanup_tasks, processed_cleanup_tasks, rule_package_id, project_id) VALUES (?, ?, ?, ?, 0, 0, 'a:0:{}', 0, 0, ?, ?)", c.created, c.kind, c.mime, c.data, p.ID, p.ProjectID)
			return err
		}))
		_, err := s.ImportPackage(ctx, p, content(at.Add(time.Duration(n)*time.Hour), packageRule(1, item(n))))
		if c.refused {
			wantCode(t, err, protection.CodeConflict)
		} else if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if left := s.rowCount(t, "rule_package_processing_job"); (left == 0) != c.end {
			t.Errorf("%s: %d jobs are left", c.name, left)
		}
		_, err = s.exec(ctx, "remove jobs", "DELETE FROM rule_package_processing_job")
		must(t, err)
	}
}
