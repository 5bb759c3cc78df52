package import GitProtocol

/// How a push ended, if that is known; an unknown outcome is an error.
package enum PushEnding: ~Copyable {
    /// Nothing was published, as the report says: all refs were refused, or nothing had to change.
    case unchanged(PushReport)
    case published(PublishedPush)
    case lost(LostPush)
    /// Nothing was published, because git refused a ref for this reason, and the client requested
    /// no report that could list the others.
    case refused(String)
}

/// The result of running receive-pack.
package enum Reception: ~Copyable {
    /// Nothing differs from the parent, and nothing has to be published: all refs were refused, or
    /// nothing had to change. This is git's report.
    case unchanged(PushReport)
    case received(ReceivedPush)
}

/// A push that lost to another writer's.
package struct LostPush: Sendable {
    /// Its refs, each with `ng`, for a client that requested a report.
    package let report: PushReport
    package let cause: Cause

    /// Why it was not tried again.
    package enum Cause: Sendable {
        /// It lost as many swaps as may be tried.
        case attemptsUsedUp
        /// Some of its refs moved, and nothing remains that may be published without them.
        case overtaken
        /// The repository was deleted, and perhaps created again.
        case replaced
    }
}
