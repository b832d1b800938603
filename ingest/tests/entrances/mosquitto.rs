//! A Mosquitto of our own.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A running broker that keeps sessions, but not over `kill -9`. It ends when dropped.
pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    directory: TempDir,
    child: Option<Child>,
}

impl Mosquitto {
    pub(crate) fn start() -> Mosquitto {
        let port = free_port();
        let directory = TempDir::new().unwrap();
        let mut broker = Mosquitto { port, directory, child: None };
        let location = broker.directory.path().display();
        // `user` because Mosquitto leaves root, and could not write to the directory any more.
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {location}/\n\
             max_queued_messages 0\nuser root\nlog_dest stderr\nlog_type all\n"
        );
        fs::write(broker.directory.path().join("mosquitto.conf"), config).unwrap();
        broker.run();
        broker
    }

    /// Stops it as an operator would: it saves its sessions.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let terminated = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(terminated.success());
        child.wait().unwrap();
    }

    /// Kills it: it forgets its sessions.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn run(&mut self) {
        let config = self.directory.path().join("mosquitto.conf");
        // Debian keeps it where only root's PATH looks.
        let spawned = ["mosquitto", "/usr/sbin/mosquitto"].iter().find_map(|binary| {
            Command::new(binary).arg("-c").arg(&config).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().ok()
        });
        let mut child = spawned.expect("mosquitto is not installed: apt-get install mosquitto");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        self.child = Some(child);
        assert!(lines.any(|line| line.contains(" running")), "mosquitto did not start");
        // Its log must be read, or it blocks.
        std::thread::spawn(move || lines.for_each(drop));
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
