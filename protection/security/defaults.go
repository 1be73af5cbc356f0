package security

import "github.com/mosparoctl/mosparoctl/protection/php"

// Defaults are the security settings of a project with the values they have if nothing is stored.
func Defaults() *php.Array {
	all := php.NewArray()
	add := func(name string, v php.Value) { all.SetString(name, v) }
	add("minimumTimeActive", php.Bool(false))
	add("minimumTimeSeconds", php.Int(10))
	add("honeypotFieldActive", php.Bool(false))
	add("honeypotFieldName", php.String(""))
	add("delayActive", php.Bool(false))
	add("delayNumberOfRequests", php.Int(30))
	add("delayDetectionTimeFrame", php.Int(30))
	add("delayTime", php.Int(60))
	add("delayMultiplicator", php.Float(1.5))
	add("lockoutActive", php.Bool(false))
	add("lockoutNumberOfRequests", php.Int(60))
	add("lockoutDetectionTimeFrame", php.Int(60))
	add("lockoutTime", php.Int(300))
	add("lockoutMultiplicator", php.Float(1.2))
	add("proofOfWorkActive", php.Bool(false))
	add("proofOfWorkComplexity", php.Int(5))
	add("proofOfWorkDynamicComplexityActive", php.Bool(true))
	add("proofOfWorkDynamicComplexityMaxComplexity", php.Int(7))
	add("proofOfWorkDynamicComplexityNumberOfSubmissions", php.Int(30))
	add("proofOfWorkDynamicComplexityTimeFrame", php.Int(300))
	add("proofOfWorkDynamicComplexityBasedOnIpAddress", php.Bool(true))
	add("equalSubmissionsActive", php.Bool(false))
	add("equalSubmissionsNumberOfEqualSubmissions", php.Int(3))
	add("equalSubmissionsTimeFrame", php.Int(300))
	add("equalSubmissionsBasedOnIpAddress", php.Bool(true))
	add("ipAllowList", php.String(""))
	return all
}
