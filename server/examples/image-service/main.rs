//! An image service with Dunlin in front of it: what a cache beside a program is for.
//!
//! ```text
//!   request --> cache (GET) --hit--> reply
//!                 | miss
//!                 v
//!               one flight per image: who comes meanwhile joins it
//!                 |
//!                 v
//!               fetch --> transform --> upload, and into the cache (SET ... EX)
//! ```
//!
//! The stages have limits of their own ([`stages`]): fetching waits for a network that is simulated, so
//! many may do it at once; transforming is work for a CPU (a picture is decoded, scaled down and encoded
//! again, [`picture`]), so as many do it as there are CPUs to spare; uploading waits again. Requests come
//! at a fixed rate whatever happens to earlier ones, with a popularity as in the world ([`driver`]).
//!
//! ```sh
//! cargo run --release --example image-service                 # starts a Dunlin of its own
//! cargo run --release --example image-service -- --url redis://127.0.0.1:6379
//! cargo run --release --example image-service -- --seconds 30 --rate 20000
//! ```

mod driver;
mod picture;
mod service;
mod stages;

use driver::Load;
use service::ImageService;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

/// Set in the child process that is the server.
const SERVER: &str = "IMAGE_SERVICE_IS_SERVER";

fn main() -> ExitCode {
    if std::env::var_os(SERVER).is_some() {
        return dunlin::boot::main();
    }
    let options = match Options::read(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("image-service: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    url: Option<String>,
    /// Pixels of a picture, along each side.
    side: usize,
    load: Load,
}

impl Options {
    fn read(mut args: impl Iterator<Item = OsString>) -> Result<Options, String> {
        let mut options = Options { url: None, side: 128, load: Load::default() };
        while let Some(name) = args.next() {
            let name = name.to_string_lossy().into_owned();
            let value = args.next().ok_or(format!("{name}: a value is missing"))?;
            let value = value.to_string_lossy().into_owned();
            let number = || value.parse::<u64>().map_err(|why| format!("{name} {value}: {why}"));
            match name.as_str() {
                "--url" => options.url = Some(value),
                "--seconds" => options.load.time = Duration::from_secs(number()?),
                "--rate" => options.load.rate = number()?.max(1),
                "--side" => options.side = number()?.clamp(8, 4096) as usize,
                "--images" => options.load.images = number()?.max(1),
                _ => {
                    let known = "--url, --seconds, --rate, --images and --side are known";
                    return Err(format!("{name}: {known}"));
                }
            }
        }
        Ok(options)
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let own = match options.url {
        Some(_) => None,
        None => Some(OwnServer::start()?),
    };
    let url = match (&options.url, &own) {
        (Some(url), _) => url.clone(),
        (None, Some(own)) => own.url(),
        (None, None) => unreachable!("one of the two"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let cache = connect(&url).await?;
        let service = Rc::new(ImageService::new(cache, options.side));
        let tally = driver::drive(&service, &options.load).await;
        print!("{}", tally.report(&options.load, &service));
        Ok(())
    })
}

/// One connection for everybody: the client sends the commands of all requests down it one behind the
/// other and does not wait for replies in between. A server that has just been started needs a moment.
async fn connect(url: &str) -> Result<redis::aio::MultiplexedConnection, Box<dyn Error>> {
    let client = redis::Client::open(url)?;
    for _ in 0..200 {
        if let Ok(connection) = client.get_multiplexed_async_connection().await {
            return Ok(connection);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(format!("nobody answers at {url}").into())
}

/// A Dunlin for this run: this program again, as a child, on a unix socket.
struct OwnServer {
    child: Child,
    dir: PathBuf,
}

impl OwnServer {
    fn start() -> std::io::Result<OwnServer> {
        let dir = std::env::temp_dir().join(format!("image-service-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let child = Command::new(std::env::current_exe()?)
            .env(SERVER, "1")
            .args(["--port", "0", "--workers", "1", "--maxmemory", "256mb", "--unixsocket"])
            .arg(dir.join("dunlin.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(OwnServer { child, dir })
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.dir.join("dunlin.sock").display())
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It has nothing to lose but a cache.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
