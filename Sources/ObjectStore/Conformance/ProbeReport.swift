import Bytes

/// The results of the probe of an admitted store.
package struct ProbeReport: Hashable, Sendable, CustomStringConvertible {
    /// The number of writers in each race.
    package let width: Int
    /// The number of races of each kind.
    package let rounds: Int
    /// The number of requests that failed in transport, so that they tested nothing.
    package let transportDrops: Int
    package let dialect: Dialect
    /// The server software that answered.
    package let servers: ServerNames

    package init(
        width: Int, rounds: Int, transportDrops: Int, dialect: Dialect,
        servers: ServerNames = ServerNames()
    ) {
        self.width = width
        self.rounds = rounds
        self.transportDrops = transportDrops
        self.dialect = dialect
        self.servers = servers
    }

    package var description: String {
        let form = dialect.contains(.bareETags) ? "bare" : "quoted"
        let text =
            "width \(width), rounds \(rounds), transportDrops \(transportDrops), ETags \(form), "
            + "body checks: \(bodyChecks)"
        return servers.isEmpty ? text : text + ", server: \(servers)"
    }

    private var bodyChecks: String {
        let names: [(Dialect, String)] = [
            (.checksSHA256, "x-amz-checksum-sha256"), (.keepsSHA256, "SHA-256 in HEAD"),
            (.checksMD5, "Content-MD5"), (.etagIsMD5, "MD5 ETag"), (.hashesItself, "its own"),
        ]
        let found = names.filter { dialect.contains($0.0) }.map(\.1)
        return found.isEmpty ? "none" : found.joined(separator: ", ")
    }
}

/// Why a store is not admitted.
package struct ProbeFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Phase: String, Sendable {
        case sequential
        case ifMatchRace = "If-Match race"
        case createRace = "create race"
        case etagConsistency = "ETag consistency"
    }

    /// `s3://bucket/prefix`.
    package let location: String
    package let phase: Phase
    /// The round, counted from 1.
    package let round: Int
    package let key: String
    package let reason: String

    package var description: String {
        "The store '\(location)' failed the conformance probe: \(phase.rawValue), round \(round), "
            + "key '\(key)': \(reason)."
    }
}
