//! Owners and privileges, which need roles that the target may not have.

use super::catalog::literal;

/// How a grant begins that only Postgres 17 and later understand; it stands in a command of its own.
const NEWEST_PRIVILEGE: &str = "GRANT MAINTAIN ";

/// A block that runs `commands` if every role is there, and says so with a notice if one is not, or if whoever
/// restores may not do it.
pub(super) fn guarded(roles: &[&str], commands: &[String]) -> String {
    block(roles, commands, None)
}

/// The same, run as a role: whoever passes on a privilege is named in it.
pub(super) fn guarded_as(role: &str, roles: &[&str], commands: &[String]) -> String {
    block(roles, commands, Some(role))
}

fn block(roles: &[&str], commands: &[String], as_role: Option<&str>) -> String {
    let mut body = String::new();
    for role in roles {
        let role = literal(role);
        body.push_str(&format!(
            "    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {role}) THEN\n        \
                 RAISE NOTICE 'skipped, role % does not exist: %', {role}, {};\n        \
                 RETURN;\n    \
             END IF;\n",
            literal(commands.first().map_or("", String::as_str))
        ));
    }
    if let Some(role) = as_role {
        body.push_str(&format!("    PERFORM pg_catalog.set_config('role', {}, true);\n", literal(role)));
    }
    for command in commands {
        body.push_str(&format!("    EXECUTE {};\n", literal(command)));
    }
    let mut declare = "";
    if as_role.is_some() {
        declare = "\nDECLARE\n    before text := pg_catalog.current_setting('role');";
        body.push_str("    PERFORM pg_catalog.set_config('role', before, true);\n");
    }
    // An older server than the source does not know the newest privilege, and calls it a syntax error.
    let unknown = if commands.iter().any(|command| command.starts_with(NEWEST_PRIVILEGE)) {
        " OR syntax_error"
    } else {
        ""
    };
    let block = format!(
        "{declare}\nBEGIN\n{body}EXCEPTION WHEN insufficient_privilege OR undefined_object{unknown} THEN\n    \
         RAISE NOTICE 'skipped: %', SQLERRM;\nEND\n"
    );
    let mut tag = "guard".to_owned();
    while block.contains(&format!("${tag}$")) {
        tag.push('_');
    }
    format!("DO ${tag}${block}${tag}$")
}
