select exists (select from event) as recorded, exists (select from tied) as tied
