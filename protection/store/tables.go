package store

// schemaTables is the schema of mosparo 1.5.4, as its migrations leave it on MariaDB, without the user-visible texts.
// Both dialects are made of it, and an existing database is compared with it.
func schemaTables() []table {
	return append(accessTables(), append(ruleTables(), submissionTables()...)...)
}

// accessTables are projects, users and what the framework keeps.
func accessTables() []table {
	return []table{
		{
			name: "doctrine_migration_versions", key: "version", collation: "utf8mb4_general_ci",
			columns: []column{
				{name: "version", kind: kindVarchar, size: 191},
				{name: "executed_at", kind: kindDatetime, null: true},
				{name: "execution_time", kind: kindInt, null: true},
			},
		},
		{
			name: "project", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "uuid", kind: kindUUID},
				{name: "name", kind: kindVarchar, size: 255},
				{name: "description", kind: kindText, null: true},
				{name: "hosts", kind: kindText, null: true},
				{name: "public_key", kind: kindVarchar, size: 64},
				{name: "private_key", kind: kindText},
				{name: "status", kind: kindSmallint},
				{name: "spam_score", kind: kindDouble},
				{name: "api_debug_mode", kind: kindBool},
				{name: "verification_simulation_mode", kind: kindBool},
				{name: "statistic_storage_limit", kind: kindVarchar, size: 7},
				{name: "language_source", kind: kindSmallint, def: "0"},
				{name: "project_group_id", kind: kindInt, null: true},
				{name: "metadata_allowed", kind: kindBool, def: "0"},
				{name: "spam_data_returned", kind: kindBool, def: "0"},
				{name: "metadata_returned", kind: kindBool, def: "0"},
				{name: "silent_mode_enabled", kind: kindBool, def: "0"},
			},
			indexes: []index{
				{name: "IDX_2FB3D0EEC31A529C", columns: []string{"project_group_id"}},
				{name: "p_publickey_idx", columns: []string{"public_key"}},
			},
			foreign: []foreignKey{
				{name: "FK_2FB3D0EEC31A529C", column: "project_group_id", table: "project_group"},
			},
		},
		{
			name: "project_config_value", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "project_id", kind: kindInt},
				{name: "name", kind: kindVarchar, size: 255},
				{name: "value", kind: kindText, null: true},
			},
			indexes: []index{
				{name: "IDX_8AFDEE17166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_8AFDEE17166D1F9C", column: "project_id", table: "project", cascade: true},
			},
		},
		{
			name: "project_group", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "uuid", kind: kindUUID},
				{name: "name", kind: kindVarchar, size: 255},
				{name: "description", kind: kindText, null: true},
				{name: "parent_id", kind: kindInt, null: true},
			},
			indexes: []index{
				{name: "IDX_7E954D5B727ACA70", columns: []string{"parent_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_7E954D5B727ACA70", column: "parent_id", table: "project_group"},
			},
		},
		{
			name: "project_member", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "project_id", kind: kindInt},
				{name: "user_id", kind: kindInt},
				{name: "role", kind: kindVarchar, size: 30},
			},
			indexes: []index{
				{name: "IDX_67401132166D1F9C", columns: []string{"project_id"}},
				{name: "IDX_67401132A76ED395", columns: []string{"user_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_67401132166D1F9C", column: "project_id", table: "project"},
				{name: "FK_67401132A76ED395", column: "user_id", table: "user"},
			},
		},
		{
			name: "reset_password_request", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "user_id", kind: kindInt},
				{name: "selector", kind: kindVarchar, size: 20},
				{name: "hashed_token", kind: kindVarchar, size: 100},
				{name: "requested_at", kind: kindDatetime},
				{name: "expires_at", kind: kindDatetime},
			},
			indexes: []index{
				{name: "IDX_7CE748AA76ED395", columns: []string{"user_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_7CE748AA76ED395", column: "user_id", table: "user", cascade: true},
			},
		},
		{
			name: "sessions", key: "sess_id", collation: "utf8mb4_bin",
			columns: []column{
				{name: "sess_id", kind: kindVarbinary, size: 128},
				{name: "sess_data", kind: kindBlob},
				{name: "sess_lifetime", kind: kindUint},
				{name: "sess_time", kind: kindUint},
			},
			indexes: []index{
				{name: "sessions_sess_lifetime_idx", columns: []string{"sess_lifetime"}},
			},
		},
		{
			name: "user", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "email", kind: kindVarchar, size: 180},
				{name: "roles", kind: kindJSON},
				{name: "password", kind: kindVarchar, size: 255},
				{name: "googleAuthenticatorSecret", kind: kindVarchar, size: 255, null: true},
				{name: "backup_codes", kind: kindText},
				{name: "config_values", kind: kindText},
			},
			indexes: []index{
				{name: "UNIQ_8D93D649E7927C74", columns: []string{"email"}, unique: true},
			},
		},
	}
}

// submissionTables are what requests write.
func submissionTables() []table {
	return []table{
		{
			name: "cleanup_statistic", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "date_time", kind: kindDatetime},
				{name: "cleanup_executor", kind: kindInt},
				{name: "number_of_stored_submit_tokens", kind: kindInt},
				{name: "number_of_deleted_submit_tokens", kind: kindInt},
				{name: "number_of_stored_submissions", kind: kindInt},
				{name: "number_of_deleted_submissions", kind: kindInt},
				{name: "execution_time", kind: kindDouble},
				{name: "cleanup_status", kind: kindInt},
			},
			indexes: []index{
				{name: "cs_datetime_idx", columns: []string{"date_time"}},
			},
		},
		{
			name: "day_statistic", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "project_id", kind: kindInt},
				{name: "date", kind: kindDate},
				{name: "number_of_valid_submissions", kind: kindInt},
				{name: "number_of_spam_submissions", kind: kindInt},
				{name: "updated_at", kind: kindDatetime, null: true},
				{name: "number_of_delayed_requests", kind: kindInt},
				{name: "number_of_blocked_requests", kind: kindInt},
			},
			indexes: []index{
				{name: "day_project_idx", columns: []string{"date", "project_id"}, unique: true},
				{name: "IDX_3D2B35AC166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_3D2B35AC166D1F9C", column: "project_id", table: "project"},
			},
		},
		{
			name: "delay", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "ip_address", kind: kindVarchar, size: 128},
				{name: "started_at", kind: kindDatetime},
				{name: "duration", kind: kindInt},
				{name: "valid_until", kind: kindDatetime},
			},
			indexes: []index{
				{name: "d_validuntil_idx", columns: []string{"valid_until"}},
			},
		},
		{
			name: "detection_result", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "matched_field_rule_items", kind: kindJSON},
				{name: "matched_submission_rules", kind: kindJSON},
				{name: "submission_id", kind: kindInt, null: true},
				{name: "project_id", kind: kindInt},
			},
			indexes: []index{
				{name: "UNIQ_9D26910FE1FD4933", columns: []string{"submission_id"}, unique: true},
				{name: "IDX_9D26910F166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_9D26910F166D1F9C", column: "project_id", table: "project"},
				{name: "FK_9D26910FE1FD4933", column: "submission_id", table: "submission"},
			},
		},
		{
			name: "ip_localization", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "ip_address", kind: kindVarchar, size: 128},
				{name: "as_number", kind: kindInt, null: true},
				{name: "as_organization", kind: kindVarchar, size: 255, null: true},
				{name: "country", kind: kindVarchar, size: 2, null: true},
				{name: "cached_at", kind: kindDatetime},
			},
			indexes: []index{
				{name: "ip_ipaddress_idx", columns: []string{"ip_address"}},
			},
		},
		{
			name: "lockout", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "ip_address", kind: kindVarchar, size: 128},
				{name: "started_at", kind: kindDatetime},
				{name: "duration", kind: kindInt},
				{name: "valid_until", kind: kindDatetime},
			},
			indexes: []index{
				{name: "l_validuntil_idx", columns: []string{"valid_until"}},
			},
		},
		{
			name: "partial_submission", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "data", kind: kindText},
				{name: "ignored_fields", kind: kindJSON},
				{name: "updated_at", kind: kindDatetime},
				{name: "submit_token_id", kind: kindInt, null: true},
				{name: "project_id", kind: kindInt},
			},
			indexes: []index{
				{name: "UNIQ_81A9A7A12B4057C1", columns: []string{"submit_token_id"}, unique: true},
				{name: "IDX_81A9A7A1166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_81A9A7A1166D1F9C", column: "project_id", table: "project"},
				{name: "FK_81A9A7A12B4057C1", column: "submit_token_id", table: "submit_token"},
			},
		},
		{
			name: "submission", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "submit_token_id", kind: kindInt, null: true},
				{name: "project_id", kind: kindInt},
				{name: "validation_token", kind: kindVarchar, size: 64, null: true},
				{name: "data", kind: kindText},
				{name: "signature", kind: kindVarchar, size: 64, null: true},
				{name: "submitted_at", kind: kindDatetime},
				{name: "verified_at", kind: kindDatetime, null: true},
				{name: "matched_rule_items", kind: kindJSON},
				{name: "ignored_fields", kind: kindJSON},
				{name: "general_verifications", kind: kindJSON},
				{name: "spam_rating", kind: kindDouble},
				{name: "spam", kind: kindBool, null: true},
				{name: "spam_detection_rating", kind: kindDouble},
				{name: "valid", kind: kindBool, null: true},
				{name: "verified_fields", kind: kindJSON},
				{name: "issues", kind: kindJSON, null: true},
			},
			indexes: []index{
				{name: "IDX_DB055AF32B4057C1", columns: []string{"submit_token_id"}},
				{name: "IDX_DB055AF3166D1F9C", columns: []string{"project_id"}},
				{name: "s_submittedat_idx", columns: []string{"submitted_at"}},
				{name: "s_spam_idx", columns: []string{"spam"}},
				{name: "s_valid_idx", columns: []string{"valid"}},
			},
			foreign: []foreignKey{
				{name: "FK_DB055AF3166D1F9C", column: "project_id", table: "project"},
				{name: "FK_DB055AF32B4057C1", column: "submit_token_id", table: "submit_token"},
			},
		},
		{
			name: "submit_token", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "last_submission_id", kind: kindInt, null: true},
				{name: "project_id", kind: kindInt},
				{name: "ip_address", kind: kindVarchar, size: 128},
				{name: "page_title", kind: kindText},
				{name: "page_url", kind: kindText},
				{name: "token", kind: kindVarchar, size: 64},
				{name: "created_at", kind: kindDatetime},
				{name: "checked_at", kind: kindDatetime, null: true},
				{name: "verified_at", kind: kindDatetime, null: true},
				{name: "valid_until", kind: kindDatetime, null: true},
				{name: "proof_of_work_result", kind: kindVarchar, size: 64, null: true},
				{name: "form_action_url", kind: kindText, null: true},
				{name: "form_id", kind: kindVarchar, size: 255, null: true},
			},
			indexes: []index{
				{name: "UNIQ_6C047AC88DF22AA4", columns: []string{"last_submission_id"}, unique: true},
				{name: "IDX_6C047AC8166D1F9C", columns: []string{"project_id"}},
				{name: "st_token_idx", columns: []string{"token"}},
				{name: "st_createdat_idx", columns: []string{"created_at"}},
			},
			foreign: []foreignKey{
				{name: "FK_6C047AC8166D1F9C", column: "project_id", table: "project"},
				{name: "FK_6C047AC88DF22AA4", column: "last_submission_id", table: "submission"},
			},
		},
	}
}
