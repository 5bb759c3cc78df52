import Policy

extension Responder {
    /// Whether the request of a client that may not push is the probe that git sends before a large
    /// push, a body of exactly `0000`.
    ///
    /// git 2.46 and some later releases send it without the token that they have, and give up the push
    /// at any answer but 200. The answer is the same for every name, so that it does not tell which
    /// repositories exist, and it permits nothing.
    func isProbe(
        _ request: Request, on connection: any Connection, _ verdict: Verdict
    ) throws -> Bool {
        guard case .deny = verdict, request.contentLength == .known(4),
            request.contentEncoding.isEmpty
        else { return false }
        return try Body(
            of: request, from: connection, limit: limits.body, deadline: deadline,
            framing: .commandsAndPack
        ).isProbe()
    }
}
