/// How a backend takes ETags in If-Match.
package enum ETagForm: String, Sendable {
    /// Byte for byte as it gave them.
    case quoted
    /// Without their quotes.
    case bare
}

/// What the probe of a store that was admitted found.
package struct ProbeReport: Hashable, Sendable, CustomStringConvertible {
    /// Writers in each race.
    package let width: Int
    /// Races of each kind.
    package let rounds: Int
    /// Requests that failed in transport, and so saw nothing.
    package let transportDrops: Int
    package let etagForm: ETagForm

    package init(width: Int, rounds: Int, transportDrops: Int, etagForm: ETagForm) {
        self.width = width
        self.rounds = rounds
        self.transportDrops = transportDrops
        self.etagForm = etagForm
    }

    package var description: String {
        "width \(width), rounds \(rounds), transportDrops \(transportDrops), ETags \(etagForm)"
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
    /// From 1.
    package let round: Int
    package let key: String
    package let reason: String

    package var description: String {
        "The store '\(location)' is not admitted: \(phase.rawValue), round \(round), "
            + "key '\(key)': \(reason)."
    }
}
