extension ObjectStore {
    /// Performs requests that can be repeated safely, and repeats those that failed temporarily.
    ///
    /// Reads, and writes of derived and content-addressed objects, are such requests. A pointer
    /// write is not (``advancePointer(of:expecting:to:lineage:)``).
    package func performRepeatedly(
        _ requests: [StoreRequest]
    ) -> [Result<StoreAnswer, StoreError>] {
        var results = perform(requests)
        var repetition = 1
        while repetition < retryPolicy.attempts {
            let failed = results.indices.filter { index in
                switch results[index] {
                case .failure(let error): error.isTransient
                // 409 to a create: another writer is creating the same key.
                case .success(.notStored(.conflict)): true
                case .success: false
                }
            }
            if failed.isEmpty { break }
            retryPolicy.pause(before: repetition)
            for (index, result) in zip(failed, perform(failed.map { requests[$0] })) {
                results[index] = result
            }
            repetition += 1
        }
        return results
    }

    /// Performs one such request.
    package func performRepeatedly(
        _ request: StoreRequest
    ) throws(StoreError) -> StoreAnswer {
        guard let result = performRepeatedly([request]).first else {
            throw .nonConforming(StoreError.Attempt(request), reason: "no result")
        }
        return try result.get()
    }

    /// Creates the error for an answer of a kind that the request cannot have.
    func unexpected(_ answer: StoreAnswer, to request: StoreRequest) -> StoreError {
        .nonConforming(StoreError.Attempt(request), reason: "unexpected answer \(answer)")
    }
}
