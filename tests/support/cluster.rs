//! A Redis Cluster of three masters, one of which has a replica.
//!
//! The first has a single slot, that of `{gatepost}`: a command with the name of any other key is refused there, so nothing that
//! forgets the tag goes unnoticed.

use std::time::Duration;

use super::{Redis, eventually, free_port, sentinel::follows};

/// Long enough for a start, and for a failover, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Four nodes: the owner of the slot, two others, and the owner's replica.
#[derive(Debug)]
pub struct Cluster {
    /// Who has the slot of `{gatepost}` at the start.
    pub owner: Redis,
    /// A node with slots of its own.
    pub other: Redis,
    /// Another.
    pub third: Redis,
    /// Who takes over from the owner.
    pub replica: Redis,
    /// The number of that slot.
    pub slot: u16,
}

impl Cluster {
    /// Starts all four, makes them one, and waits until it serves.
    ///
    /// # Panics
    ///
    /// When `redis-server` is missing or does not start.
    pub async fn start() -> Self {
        let (owner, other, third, replica) = tokio::join!(node(), node(), node(), node());
        let slot: u16 = owner.ask(&["CLUSTER", "KEYSLOT", "{gatepost}"]).await;
        let cluster = Self { owner, other, third, replica, slot };
        cluster.join().await;
        cluster
    }

    async fn join(&self) {
        let slot = self.slot;
        for (node, from, to) in [(&self.owner, slot, slot), (&self.other, 0, slot - 1), (&self.third, slot + 1, 16_383)]
        {
            node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]).await;
        }
        for (place, node) in self.nodes().into_iter().enumerate() {
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()]).await;
        }
        for node in [&self.other, &self.third, &self.replica] {
            let bus: Vec<String> = node.ask(&["CONFIG", "GET", "cluster-port"]).await;
            self.owner.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), &bus[1]]).await;
        }
        for node in self.nodes() {
            eventually("every node to know all others", SOON, async || {
                let info: String = node.ask(&["CLUSTER", "INFO"]).await;
                let nodes: String = node.ask(&["CLUSTER", "NODES"]).await;
                let met = nodes.lines().count() == 4 && !nodes.contains("handshake");
                (met && info.contains("cluster_slots_assigned:16384")).then_some(())
            })
            .await;
        }
        let owner = id(&self.owner).await;
        self.replica.ask::<()>(&["CLUSTER", "REPLICATE", &owner]).await;
        follows(&self.replica).await;
        for node in self.nodes() {
            eventually("the Cluster to serve", SOON, async || {
                let info: String = node.ask(&["CLUSTER", "INFO"]).await;
                let nodes: String = node.ask(&["CLUSTER", "NODES"]).await;
                (info.contains("cluster_state:ok") && nodes.contains(&format!("slave {owner}"))).then_some(())
            })
            .await;
        }
    }

    /// All of them, the owner of the slot first.
    pub fn nodes(&self) -> [&Redis; 4] {
        [&self.owner, &self.other, &self.third, &self.replica]
    }

    /// `redis+cluster://…` with all that do not own the slot at the start.
    pub fn url(&self) -> String {
        let seeds = [&self.other, &self.third, &self.replica].map(|node| format!("127.0.0.1:{}", node.port()));
        format!("redis+cluster://{}", seeds.join(","))
    }

    /// Gives the slot, and with it all keys, from its owner to [`Self::other`]. There have to be few keys.
    pub async fn move_slot(&self) {
        let (slot, [from, to]) = (self.slot.to_string(), [id(&self.owner).await, id(&self.other).await]);
        self.other.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]).await;
        self.owner.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]).await;
        loop {
            let keys: Vec<String> = self.owner.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await;
            if keys.is_empty() {
                break;
            }
            let port = self.other.port().to_string();
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
            command.extend(keys.iter().map(String::as_str));
            self.owner.ask::<String>(&command).await;
        }
        // The others hear of it from the new owner; the old one, left without a slot, becomes a replica of it.
        self.other.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &to]).await;
        eventually("the old owner to know the new one", SOON, async || {
            let role: Vec<redis::Value> = self.owner.ask(&["ROLE"]).await;
            (role.first() == Some(&redis::Value::BulkString(b"slave".to_vec()))).then_some(())
        })
        .await;
    }
}

async fn node() -> Redis {
    let bus = free_port().to_string();
    let of_the_cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1000"];
    // A replica is not left to wait for others to come, and takes over however long a busy machine has kept it from its master.
    let of_the_replica = ["--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"];
    Redis::start_with(&[&of_the_cluster[..], &of_the_replica].concat()).await
}

async fn id(node: &Redis) -> String {
    node.ask(&["CLUSTER", "MYID"]).await
}
