//! The drill, smaller: `make drill` runs the same program with a thousand instants.

use std::process::Stdio;

use tokio::process::Command;

#[tokio::test]
async fn instants_of_a_database_that_was_lost_in_the_middle_of_work_come_back() {
    let program = stack::place::built_binary("drill").expect("the drill is built");
    let output = Command::new(program)
        .args(["--instants", "10"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the drill runs");
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(told.contains("everything came back, digest for digest"), "{told}");
}
