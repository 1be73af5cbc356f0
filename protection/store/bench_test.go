package store

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	lab "github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// BenchmarkFlow is what one visitor costs at the database: a token, its check and its verification, with durable commits.
// cpu-µs/flow is the processor time of this process and of the database server together.
func BenchmarkFlow(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchFlows(b, openSQLiteFile(b), 0) })
	b.Run("mariadb", func(b *testing.B) {
		m := lab.StartMariaDB(b)
		o := mariaOptions(b, m)
		benchFlows(b, open(b, o), m.Process.PID())
	})
}

// serverCPU is the processor time that a process has used, 0 for pid 0.
func serverCPU(b *testing.B, pid int) time.Duration {
	b.Helper()
	if pid == 0 {
		return 0
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("no /proc on this system")
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')'):]))
	user, _ := strconv.ParseInt(fields[12], 10, 64)
	system, _ := strconv.ParseInt(fields[13], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // clock ticks of 1/100 s
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchFlows(b *testing.B, s *Store, pid int) {
	p := &protection.Project{UUID: "bench", Name: "bench", PublicKey: "bench", PrivateKey: "k", StatisticStorageLimit: protection.Forever}
	if err := s.CreateProject(b.Context(), p); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	ip := crypt.HashIP("192.0.2.1")
	flow := func() error {
		token := fmt.Sprintf("T%042d", n.Add(1))
		tok := &protection.SubmitToken{ProjectID: p.ID, IPHash: ip, PageTitle: "Contact", PageURL: "https://example.com/contact", Token: token, CreatedAt: testNow}
		if err := s.CreateToken(b.Context(), tok); err != nil {
			return err
		}
		tok, _, err := s.TokenAndPartial(b.Context(), p.ID, token)
		if err != nil {
			return err
		}
		field := func(name, value string) php.Value {
			return php.Map(php.Pair{Key: "name", Value: php.String(name)}, php.Pair{Key: "value", Value: php.String(value)}, php.Pair{Key: "fieldPath", Value: php.String("input[text]." + name)})
		}
		sub := &protection.Submission{ProjectID: p.ID, TokenID: tok.ID, ValidationToken: token, Signature: strings.Repeat("a", 64), SubmittedAt: testNow, Spam: protection.No, SpamDetectionRating: 5,
			Data:      php.Map(php.Pair{Key: "formData", Value: php.List(field("name", "Jane Doe"), field("email", "jane@example.com"), field("message", strings.Repeat("Hello there. ", 20)))}),
			Detection: &protection.Detection{}}
		if err := s.CreateSubmission(b.Context(), tok, sub, false); err != nil {
			return err
		}
		if tok, sub, err = s.TokenAndSubmission(b.Context(), p.ID, token); err != nil {
			return err
		}
		return s.Verify(b.Context(), Verification{ProjectID: p.ID, TokenID: tok.ID, SubmissionID: sub.ID, At: testNow, Valid: true, Counted: true, Counter: protection.CountValid})
	}
	if err := flow(); err != nil {
		b.Fatal(err)
	}
	own, server := ownCPU(), serverCPU(b, pid)
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := flow(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	own, server = ownCPU()-own, serverCPU(b, pid)-server
	b.ReportMetric(float64((own+server).Microseconds())/float64(b.N), "cpu-µs/flow")
	if pid != 0 {
		b.ReportMetric(float64(server.Microseconds())/float64(b.N), "server-µs/flow")
	}
}
