-- What an invoice shows of a product holds from then on.
WITH seen AS (
    SELECT StockCode AS sku, NULL AS category, UnitPrice AS price, Description AS name,
           try_strptime(InvoiceDate, '%m/%d/%Y %H:%M') AS valid_from
    FROM invoices
    WHERE InvoiceNo NOT LIKE 'C%' AND TRY_CAST(Quantity AS BIGINT) > 0 AND StockCode <> 'POST')
SELECT * EXCLUDE category FROM product_changes('seen')
