//! The service: from the cache if it is there, made if not, and made once for all who want it.

use crate::picture;
use crate::stages::{Full, Stage, Times};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Seconds that a thumbnail stays in the cache.
const FRESH: u64 = 10;
/// What the network takes to bring a source, and to take a thumbnail.
const FETCH: Duration = Duration::from_millis(5);
const UPLOAD: Duration = Duration::from_millis(3);

/// Why there is no thumbnail.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unserved {
    /// A stage has too much to do.
    Full,
    /// The cache has failed.
    Cache,
    /// The source is no picture.
    Broken,
}

impl From<Full> for Unserved {
    fn from(_: Full) -> Self {
        Unserved::Full
    }
}

/// How a request was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// From the cache.
    Hit,
    /// It was made for this request.
    Made,
    /// It was made for another one at the same time.
    Joined,
}

/// What a flight tells those who have joined it: nothing until it has landed.
type Landing = watch::Receiver<Option<Result<(), Unserved>>>;

/// The image service.
pub(crate) struct ImageService {
    /// Pixels of a source, along each side.
    side: usize,
    cache: MultiplexedConnection,
    flights: RefCell<HashMap<u64, Landing>>,
    /// GET of the cache, as the service sees it.
    pub(crate) lookups: Times,
    /// The stages, in their order.
    pub(crate) stages: [Stage; 3],
    /// Bytes of the thumbnails that were served.
    pub(crate) bytes: Cell<u64>,
}

impl ImageService {
    /// A service in front of which is this cache, for sources of so many pixels along each side.
    pub(crate) fn new(cache: MultiplexedConnection, side: usize) -> ImageService {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        ImageService {
            side,
            cache,
            flights: RefCell::default(),
            lookups: Times::default(),
            stages: [
                Stage::new("fetch", 64, 4096),
                Stage::new("transform", (cpus / 2).max(1), 4096),
                Stage::new("upload", 32, 4096),
            ],
            bytes: Cell::new(0),
        }
    }

    /// Serves the thumbnail of an image.
    pub(crate) async fn thumbnail(&self, image: u64) -> Result<Served, Unserved> {
        let key = format!("thumbnail:{image}");
        let begun = Instant::now();
        let found: Option<Vec<u8>> =
            self.cache.clone().get(&key).await.map_err(|_| Unserved::Cache)?;
        self.lookups.record(begun.elapsed());
        if let Some(thumbnail) = found {
            self.bytes.set(self.bytes.get() + thumbnail.len() as u64);
            return Ok(Served::Hit);
        }
        let landing = self.flights.borrow().get(&image).cloned();
        if let Some(mut landing) = landing {
            let landed = landing.wait_for(Option::is_some).await.map_err(|_| Unserved::Full)?;
            return (*landed).unwrap_or(Err(Unserved::Full)).map(|()| Served::Joined);
        }
        let (land, landing) = watch::channel(None);
        self.flights.borrow_mut().insert(image, landing);
        let made = self.make(image, &key).await;
        self.flights.borrow_mut().remove(&image);
        // Nobody may have joined it.
        let _ = land.send(Some(made));
        made.map(|()| Served::Made)
    }

    async fn make(&self, image: u64, key: &str) -> Result<(), Unserved> {
        let [fetch, transform, upload] = &self.stages;
        let side = self.side;
        let source = fetch
            .run(async {
                let drawn = tokio::task::spawn_blocking(move || picture::source(image, side));
                tokio::join!(drawn, tokio::time::sleep(FETCH)).0
            })
            .await?
            .map_err(|_| Unserved::Broken)?;
        let work = tokio::task::spawn_blocking(move || picture::thumbnail(&source));
        let thumbnail = transform.run(work).await?.ok().flatten().ok_or(Unserved::Broken)?;
        self.bytes.set(self.bytes.get() + thumbnail.len() as u64);
        let mut cache = self.cache.clone();
        upload
            .run(async {
                let keep = cache.set_ex::<_, _, ()>(key, thumbnail, FRESH);
                let (kept, ()) = tokio::join!(keep, tokio::time::sleep(UPLOAD));
                kept.map_err(|_| Unserved::Cache)
            })
            .await?
    }

    /// Forgets what was measured so far.
    pub(crate) fn reset(&self) {
        self.lookups.reset();
        self.stages.iter().for_each(Stage::reset);
        self.bytes.set(0);
    }
}
