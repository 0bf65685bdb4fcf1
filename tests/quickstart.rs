//! The README is true: its curl lines work as printed against the example that it starts.

use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support::{Folder, gateway};
use crate::tidy::root;

/// `examples/quickstart/run` with the binary under test; ended as Ctrl-C ends it.
struct Example(Child);

impl Example {
    fn start() -> Example {
        assert!(TcpStream::connect("127.0.0.1:8443").is_err(), "something listens on port 8443");
        let mut run = Command::new(root().join("examples/quickstart/run"));
        run.env("PILOTLIGHT", gateway::binary()).stdout(Stdio::null()).stderr(Stdio::null());
        let example = Example(run.spawn().unwrap());
        // The first start compiles the module, in the test's profile.
        for _ in 0..1200 {
            if TcpStream::connect("127.0.0.1:8443").is_ok() {
                return example;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the example does not serve");
    }

    /// Ends it and says how it went.
    fn stop(mut self) -> Option<i32> {
        let pid = i32::try_from(self.0.id()).unwrap();
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        self.0.wait().unwrap().code()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// The commands of the README's second block of shell.
fn lines() -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let block = readme.split("```sh\n").nth(2).unwrap().split("```").next().unwrap();
    block.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_readme_works_as_printed() {
    let example = Example::start();
    let folder = Folder::new();
    std::os::unix::fs::symlink(root().join("examples"), folder.path().join("examples")).unwrap();
    let shell = |line: &str| -> Output {
        Command::new("bash").args(["-c", line]).current_dir(folder.path()).output().unwrap()
    };
    let mut printed = String::new();
    for line in lines() {
        let output = shell(&line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        printed.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    assert!(printed.contains("show a key"), "{printed}");
    assert!(printed.contains("GET /echo/hello?a=1"), "{printed}");
    assert!(printed.contains("x-forwarded-proto: https"), "{printed}");

    let original = |name: &str| root().join("examples/quickstart/pictures").join(name);
    let png = std::fs::read(folder.path().join("lamp.png")).unwrap();
    assert_eq!(png[16..24], [0, 0, 0, 160, 0, 0, 0, 106], "the PNG's size");
    assert!(png.len() < std::fs::read(original("lamp.png")).unwrap().len() / 4);
    let jpeg = std::fs::read(folder.path().join("lamp.jpg")).unwrap();
    assert!(jpeg.starts_with(b"\xff\xd8") && jpeg.ends_with(b"\xff\xd9"));
    assert!(jpeg.len() < std::fs::read(original("lamp.jpg")).unwrap().len() / 4);

    let over_h3 = std::fs::read(folder.path().join("lamp3.jpg")).unwrap();
    assert!(over_h3 == jpeg, "HTTP/3 gets another picture");
    assert_eq!(example.stop(), Some(143));
}
