import Repository

/// The fence: the one way from a published push to success.
enum Fence {
    /// Says success: relays git's report, which only a published push gives out.
    ///
    /// Nothing else in the gateway writes an `ok`. A failure to write is the client's loss of an
    /// answer, not of the push.
    static func succeed(_ push: consuming PublishedPush, on answer: PushAnswer) throws {
        try answer.finish(push.release())
    }
}
